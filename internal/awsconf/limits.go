package awsconf

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// attemptTimeout bounds one attempt at an AWS API, answer included.
	attemptTimeout = 10 * time.Second
	// callTimeout bounds all attempts of one call together, without the waits
	// between them.
	callTimeout = 25 * time.Second
	// containerTimeout bounds all attempts at a container's credentials endpoint,
	// which is on the same machine.
	containerTimeout = 5 * time.Second
	// maxAnswer is the longest answer that is read, in bytes. The longest that AWS
	// gives to the calls made here have a few hundred KiB.
	maxAnswer = 16 << 20
)

// limits bounds an API call: the time spent on the network, and the length of
// the answer. The time in which credentials are got for the call does not count,
// because a person may have to be asked for a code.
func limits(d time.Duration) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		begin := middleware.InitializeMiddlewareFunc("EkskeyBudget", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			return next.HandleInitialize(middleware.WithStackValue(ctx, budgetKey{}, &budget{left: d}), in)
		})
		if err := stack.Initialize.Add(begin, middleware.Before); err != nil {
			return err
		}
		// Behind the middleware that gets the credentials, and inside the one that
		// tries again.
		if err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("EkskeyAttempt", boundAttempt), "Signing", middleware.Before); err != nil {
			return err
		}
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("EkskeyAnswer", boundAnswer), middleware.After)
	}
}

type budgetKey struct{}

// budget is what is left of a call's time. Attempts come one after the other.
type budget struct{ left time.Duration }

func boundAttempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	b, ok := middleware.GetStackValue(ctx, budgetKey{}).(*budget)
	if !ok {
		return next.HandleFinalize(ctx, in)
	}
	if b.left <= 0 {
		// This type is not tried again.
		return middleware.FinalizeOutput{}, middleware.Metadata{}, &smithy.CanceledError{Err: context.DeadlineExceeded}
	}
	start := time.Now()
	defer func() { b.left -= time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, b.left)
	defer cancel()
	return next.HandleFinalize(ctx, in)
}

func boundAnswer(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if answer, ok := out.RawResponse.(*smithyhttp.Response); ok && answer.Body != nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	}
	return out, metadata, err
}
