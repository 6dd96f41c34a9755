package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxPage is the maximum size of a ListClusters response, in bytes: many times what a
// hundred names and a token need. maxToken is the maximum size of the token.
const (
	maxPage  = 1 << 20
	maxToken = 64 << 10
)

// pageError reports a ListClusters response that is not from EKS, although its status
// is 200.
type pageError struct{ reason string }

func (e *pageError) Error() string { return "the response " + e.reason }

// wholePage checks each ListClusters response against EKS's API before the SDK parses
// it. To the SDK an empty response, or an HTTP proxy's own, is a page without clusters:
// all clusters would seem to be deleted.
//
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_ListClusters.html
// (Response Syntax)
func wholePage(o *eks.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Insert(middleware.DeserializeMiddlewareFunc("WholePage", checkPage), "OperationDeserializer", middleware.After)
	})
}

func checkPage(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok {
		return out, metadata, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPage+1))
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case err != nil:
		err = &smithy.DeserializationError{Err: err}
	case len(body) > maxPage:
		err = &pageError{fmt.Sprintf("has more than %d bytes", maxPage)}
	case response.StatusCode/100 == 2 && !isPage(body):
		err = &pageError{"is not a list of clusters"}
	}
	return out, metadata, err
}

// isPage reports whether the body is exactly one JSON object that has an array called
// clusters.
func isPage(body []byte) bool {
	var object map[string]json.RawMessage // case-sensitive, like the SDK
	return json.Unmarshal(body, &object) == nil && bytes.HasPrefix(object["clusters"], []byte("["))
}
