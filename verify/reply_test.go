package verify

import (
	"net/http"
	"testing"

	"github.com/ekskey/ekskey/identity"
)

// Whatever answers: an error leaves no identity, and an identity is one of the
// partition asked.
func FuzzReply(f *testing.F) {
	f.Add(200, "application/json", []byte(`{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333","Arn":"arn:aws:iam::111122223333:user/a","UserId":"AIDAEXAMPLEEXAMPLE1AB"}}}`))
	f.Add(403, "application/json", []byte(`{"Error":{"Code":"AccessDenied"}}`))
	f.Add(403, "text/xml", []byte(`<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>`))
	f.Add(200, "application/json", []byte(`{"a":1,"A":2}`))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		if status != http.StatusOK {
			if refusal(status, contentType, body) == nil {
				t.Fatal("no error")
			}
			return
		}
		id, err := accept("aws", contentType, body)
		if err != nil {
			if id != (identity.Identity{}) {
				t.Fatalf("%v and %+v", err, id)
			}
			return
		}
		if id.Principal.Partition != "aws" || id.AccountID != id.Principal.Account || id.ARN == "" {
			t.Fatalf("%+v", id)
		}
	})
}
