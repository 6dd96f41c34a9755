package awsconf

import (
	"errors"

	"github.com/ekskey/ekskey/internal/awserr"
)

// Explain is awserr.Explain, and names the source of credentials that have
// expired. Cached credentials that AWS has refused are removed from the cache.
func (s *Session) Explain(err error) error {
	s.DropRefused(err)
	err = awserr.Explain(err)
	var api *awserr.APIError
	if errors.As(err, &api) && api.Expired() {
		return s.expired(err)
	}
	return err
}

func (s *Session) expired(err error) error {
	return &awserr.CredentialsError{Cause: "the AWS credentials from " + s.Source() + " have expired", Hint: awserr.HintExpired, Err: err}
}
