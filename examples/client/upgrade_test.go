package client

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/ekskey/ekskey/kubeclient"
	"github.com/ekskey/ekskey/token"
)

// exec runs a command's worth of streams, by SPDY and by WebSocket: with a token
// that is good, and with one that is refused first.
func TestExec(t *testing.T) {
	for _, c := range []struct {
		name     string
		serve    http.HandlerFunc
		executor func(*rest.Config, *url.URL) (remotecommand.Executor, error)
	}{
		{"spdy", serveSPDY, func(conf *rest.Config, u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewSPDYExecutor(conf, http.MethodPost, u)
		}},
		{"websocket", serveWebSocket, func(conf *rest.Config, u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(conf, http.MethodGet, u.String())
		}},
	} {
		for _, refused := range []int64{0, 1} {
			t.Run(c.name, func(t *testing.T) {
				w := newWorld(t)
				w.upgrade = c.serve
				var ahead atomic.Int64 // seconds
				client, err := kubeclient.New(t.Context(), kubeclient.Config{
					Cluster: cluster, Region: region, Endpoint: "https://" + w.k8s.Address, CAData: w.k8s.CA,
					Credentials: token.StaticKeys(w.key.AccessKeyID, w.key.SecretAccessKey, ""),
					// Within a second, the same keys sign the same token.
					Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Add(1)) * time.Second) },
				})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				w.refuse.Store(refused)
				u, err := url.Parse("https://" + w.k8s.Address + "/api/v1/namespaces/default/pods/one/exec?stdout=true")
				if err != nil {
					t.Fatal(err)
				}
				executor, err := c.executor(rest.CopyConfig(client.RESTConfig()), u)
				if err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				if err := executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &out}); err != nil {
					t.Fatal(err)
				}
				if out.String() != "hello" || w.shown.Load() != 1 {
					t.Errorf("%q, %d good tokens", out.String(), w.shown.Load())
				}
			})
		}
	}
}

func serveSPDY(w http.ResponseWriter, r *http.Request) {
	if _, err := httpstream.Handshake(r, w, []string{"v4.channel.k8s.io"}); err != nil {
		return
	}
	streams := make(chan httpstream.Stream, 4)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	var all []httpstream.Stream
	for range 2 { // stdout and error
		s := <-streams
		if s.Headers().Get("streamType") == "stdout" {
			_, _ = io.WriteString(s, "hello")
		}
		all = append(all, s)
	}
	for _, s := range all {
		_ = s.Close()
	}
	<-conn.CloseChan()
}

func serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		"v5.channel.k8s.io": {Binary: true, Channels: []wsstream.ChannelType{
			wsstream.ReadChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.ReadChannel,
		}},
	})
	_, channels, err := conn.Open(w, r)
	if err != nil {
		return
	}
	_, _ = io.WriteString(channels[1], "hello")
	_, _ = io.WriteString(channels[3], `{"metadata":{},"status":"Success"}`)
	_ = conn.Close()
}
