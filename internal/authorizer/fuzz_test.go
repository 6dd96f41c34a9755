package authorizer

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	authzv1 "k8s.io/api/authorization/v1"
	kjson "sigs.k8s.io/json"

	"github.com/ekskey/ekskey/identity"
)

// For whatever kube-apiserver or another posts, the answer never denies, and only
// whole extras are ever allowed.
func FuzzServe(f *testing.F) {
	f.Add(encode(f, alice()))
	f.Add(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"extra":{"canonicalArn":[null]}}}`)
	f.Add(`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview"}`)
	h := New(Config{Entries: roleDev(f)})
	f.Fuzz(func(t *testing.T, body string) {
		w := post(h, body)
		if w.Code != http.StatusOK {
			return
		}
		var sar authzv1.SubjectAccessReview
		if err := json.Unmarshal(w.Body.Bytes(), &sar); err != nil || sar.Status.Denied {
			t.Fatalf("%v %s", err, w.Body)
		}
		if !sar.Status.Allowed {
			return
		}
		var asked authzv1.SubjectAccessReview
		if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(body), &asked); err != nil {
			t.Fatal(err)
		}
		arn, _ := single(asked.Spec.Extra, "canonicalArn")
		id, _ := single(asked.Spec.Extra, "principalId")
		session, _ := single(asked.Spec.Extra, "sessionName")
		if arn != devARN || id != devID || asked.Spec.User != "arn:aws:sts::111122223333:assumed-role/dev/"+session {
			t.Fatalf("%s allows %s", w.Body, body)
		}
	})
}

func BenchmarkReview(b *testing.B) {
	view := policies(b, "AmazonEKSViewPolicy", "AmazonEKSAdminPolicy")
	entry := Entry{PrincipalARN: devARN, PrincipalID: devID, Username: devUser, Policies: view}
	h := New(Config{Entries: entriesFunc(func(context.Context, identity.Identity) (Entry, error) { return entry, nil })})
	sar := alice()
	b.Run("decide", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if v, err := h.decide(context.Background(), &sar.Spec); err != nil || !v.status.Allowed {
				b.Fatal(v, err)
			}
		}
	})
	body := encode(b, sar)
	b.Run("serve", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if w := post(h, body); w.Code != http.StatusOK {
				b.Fatal(w.Code)
			}
		}
	})
}
