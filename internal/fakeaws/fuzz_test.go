package fakeaws_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// FuzzUnsigned holds that nobody without a secret gets an answer, whatever they
// put where.
func FuzzUnsigned(f *testing.F) {
	const claim = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEEXAMPLE00/20260314/eu-west-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature="
	zeros := strings.Repeat("0", 64)
	f.Add(identityURL, claim+zeros, "20260314T150926Z", "")
	f.Add("/clusters/demo", strings.Replace(claim, "sts", "eks", 1)+zeros, "20260314T150926Z", "")
	f.Add("/clusters/%2e%2e", "AWS4-HMAC-SHA256", "", "Action=GetCallerIdentity")
	f.Add(identityURL+"&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLEEXAMPLE00%2F20260314%2Feu-west-1%2Fsts%2Faws4_request&X-Amz-Date=20260314T150926Z&X-Amz-SignedHeaders=host&X-Amz-Signature="+zeros, "", "", "")
	f.Add("/?X-Amz-Algorithm&X-Amz-Credential=////", "", "", "%")
	f.Add("/clusters/demo/access-entries/arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fx/access-policies", strings.Replace(claim, "sts", "eks", 1)+zeros, "20260314T150926Z", "{}")
	f.Add("/tags/arn?tagKeys=a&tagKeys=b", "", "", "")
	f.Add("/", strings.Replace(claim, "sts", "ec2", 1)+zeros, "20260314T150926Z", "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=x")
	f.Add("/", strings.Replace(claim, "sts", "iam", 1)+zeros, "20260314T150926Z", "Action=CreateRole&Version=2010-05-08&RoleName=x")
	server := fakeaws.New(fakeaws.Config{})
	if _, err := server.AddUser(fakeaws.User{Account: account, Name: "alice", Key: fakeaws.Key{AccessKeyID: "AKIAEXAMPLEEXAMPLE00", SecretAccessKey: "secret"}}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target, authorization, date, form string) {
		head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", target, len(form))
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n" + form)))
		if err != nil {
			return
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		if date != "" {
			r.Header.Set("X-Amz-Date", date)
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code < 400 {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}

// FuzzTrustPolicy holds that no document makes the parsers of trust policies and of
// identities' policies panic, and that what they refuse adds nothing.
func FuzzTrustPolicy(f *testing.F) {
	f.Add(trust(userAlice, `"StringEquals":{"sts:ExternalId":"x"}`))
	f.Add(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":["*"]}]}`)
	f.Add(`{"Statement":null}`)
	f.Add(`[`)
	f.Add(allow("*", "eks:*"))
	f.Fuzz(func(t *testing.T, policy string) {
		server := fakeaws.New(fakeaws.Config{})
		role, err := server.AddRole(fakeaws.Role{Account: account, Name: "r", TrustPolicy: policy})
		if err == nil && role != "arn:aws:iam::111122223333:role/r" || err != nil && role != "" {
			t.Errorf("got %q, %v", role, err)
		}
		key, err := server.AddUser(fakeaws.User{Account: account, Name: "u", Policies: map[string]string{"p": policy}})
		if (err == nil) == (key == fakeaws.Key{}) {
			t.Errorf("got %s, %v", key, err)
		}
	})
}

func postForm(server *fakeaws.Server, form, token string) int {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form+"&WebIdentityToken="+url.QueryEscape(token)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w.Code
}
