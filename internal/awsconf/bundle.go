package awsconf

import (
	"crypto/x509"
	"net/http"
	"sync"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// bundleClient trusts the CAs of a file, and no others. The file is read at the first
// request: minting a token makes none.
type bundleClient struct {
	client *awshttp.BuildableClient
	caFile string

	once sync.Once
	err  error
}

// Do sends a request. It fails with *awserr.CABundleError, in a form that the SDK does not
// try again.
func (b *bundleClient) Do(r *http.Request) (*http.Response, error) {
	if err := b.load(); err != nil {
		return nil, &smithy.CanceledError{Err: err}
	}
	return b.client.Do(r)
}

func (b *bundleClient) load() error {
	b.once.Do(func() {
		pem, err := readCABundle(b.caFile)
		if err != nil {
			b.err = err
			return
		}
		b.client = b.client.WithTransportOptions(func(t *http.Transport) {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			t.TLSClientConfig.RootCAs = pool
		})
	})
	return b.err
}
