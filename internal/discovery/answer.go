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

// maxPage is how many bytes an answer to ListClusters may have: many times what a
// hundred names and a token need. maxToken is how many of them the token may have.
const (
	maxPage  = 1 << 20
	maxToken = 64 << 10
)

// pageError says that an answer to ListClusters is none of EKS's, although its
// status says that all is well.
type pageError struct{ reason string }

func (e *pageError) Error() string { return "the answer " + e.reason }

// wholePage has each answer to ListClusters held against what EKS promises, before
// the SDK reads it. For the SDK an empty answer, or a proxy's own, is a page
// without clusters: of such a listing all clusters would be gone.
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
		err = &pageError{"is no list of clusters"}
	}
	return out, metadata, err
}

// isPage reports whether the body is one JSON object, and no more, that has an
// array called clusters.
func isPage(body []byte) bool {
	var object map[string]json.RawMessage // keys in their very case, as the SDK has them
	return json.Unmarshal(body, &object) == nil && bytes.HasPrefix(object["clusters"], []byte("["))
}
