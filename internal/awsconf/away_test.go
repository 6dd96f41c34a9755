package awsconf_test

import (
	"testing"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// Where AWS is away, credentials that are good still are not thrown away for newer
// ones. Where it says no, they are.
func TestInvalidateWhileAWSIsAway(t *testing.T) {
	for name, tt := range map[string]struct {
		fault fakeaws.Fault
		kept  bool
	}{
		"cut":       {fakeaws.Fault{Cut: true}, true},
		"in pieces": {fakeaws.Fault{Code: "ServiceUnavailable", Status: 503}, true},
		"throttled": {fakeaws.Fault{Code: "Throttling"}, true},
		"refused":   {fakeaws.Fault{Code: "AccessDenied"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			fake, _ := newAWS(t)
			s := load(t, awsconf.Config{Roles: []awsconf.Role{{ARN: "arn:aws:iam::111122223333:role/first", SessionName: "one"}}})
			before, err := s.Credentials().Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Credentials().(interface{ Invalidate() }).Invalidate()
			fake.SetFault(fakeaws.AssumeRole, tt.fault)
			got, err := s.Credentials().Retrieve(t.Context())
			if kept := err == nil && got.AccessKeyID == before.AccessKeyID; kept != tt.kept {
				t.Errorf("kept %v: %v", kept, err)
			}
			fake.SetFault(fakeaws.AssumeRole, fakeaws.Fault{})
			if got, err = s.Credentials().Retrieve(t.Context()); err != nil || got.AccessKeyID == before.AccessKeyID {
				t.Errorf("afterwards the same, or none: %v", err)
			}
		})
	}
}
