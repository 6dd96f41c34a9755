package fakeaws_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

const (
	emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	identityURL = "/?Action=GetCallerIdentity&Version=2011-06-15"
)

func sdkCredentials(k fakeaws.Key) aws.Credentials {
	return aws.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}
}

// presigning is what goes into a pre-signed request; the test changes one thing.
type presigning struct {
	key             fakeaws.Key
	method, url     string
	host            string // signed and sent, if not the URL's
	cluster         string
	service, region string
	at              time.Time
}

func (p presigning) request(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequest(p.method, p.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = p.host
	r.Header.Set("X-K8s-Aws-Id", p.cluster)
	signed, headers, err := v4.NewSigner().PresignHTTP(context.Background(), sdkCredentials(p.key), r, emptyDigest, p.service, p.region, p.at)
	if err != nil {
		t.Fatal(err)
	}
	if got := headers.Get("X-K8s-Aws-Id"); got != p.cluster {
		t.Fatalf("the cluster's header was signed as %q", got)
	}
	if r.URL, err = url.Parse(signed); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	return r
}

func setQuery(r *http.Request, key, value string) {
	q := r.URL.Query()
	q.Set(key, value)
	r.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
}

func dropQuery(r *http.Request, key string) {
	q := r.URL.Query()
	q.Del(key)
	r.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
}

// TestPresigned takes one pre-signed GetCallerIdentity that is good and changes
// one thing a row: before it is signed, or after.
func TestPresigned(t *testing.T) {
	now := time.Date(2026, 3, 14, 15, 9, 26, 535, time.UTC)
	c := newCloud(t, fakeaws.Config{Now: at(now)})
	role := c.role(t, fakeaws.Role{Name: "ops"})
	session := func(name string, expires time.Time) fakeaws.Key {
		k, err := c.AddSession(fakeaws.Session{RoleARN: role, Name: name, Expires: expires})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	mine, other, old := session("mine", now.Add(time.Hour)), session("other", now.Add(time.Hour)), session("old", now)
	const wrong = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	tests := []struct {
		name   string
		before func(*presigning)
		after  func(*http.Request)
		code   string // "" where it is let in
		says   string
	}{
		{name: "nothing"},
		{name: "oldest", before: func(p *presigning) { p.at = now.Add(-15 * time.Minute) }},
		{name: "too old", before: func(p *presigning) { p.at = now.Add(-15*time.Minute - time.Second) }, code: "SignatureDoesNotMatch",
			says: "Signature expired: 20260314T145425Z is now earlier than 20260314T145426Z (20260314T150926Z - 15 min.)"},
		{name: "newest", before: func(p *presigning) { p.at = now.Add(15 * time.Minute) }},
		{name: "not yet", before: func(p *presigning) { p.at = now.Add(15*time.Minute + time.Second) }, code: "SignatureDoesNotMatch",
			says: "Signature not yet current: 20260314T152427Z is still later than 20260314T152426Z (20260314T150926Z + 15 min.)"},
		{name: "X-Amz-Expires is not looked at", before: func(p *presigning) { p.url += "&X-Amz-Expires=1"; p.at = now.Add(-10 * time.Minute) }},
		{name: "a long-term key", before: func(p *presigning) { p.key = c.alice }},
		{name: "expired session", before: func(p *presigning) { p.key = old }, code: "ExpiredToken", says: "The security token included in the request is expired"},
		{name: "unknown key", before: func(p *presigning) { p.key.AccessKeyID = "ASIAUNKNOWNUNKNOWN00" }, code: "InvalidClientTokenId",
			says: "The security token included in the request is invalid."},
		{name: "wrong secret", before: func(p *presigning) { p.key.SecretAccessKey += "x" }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "token missing", before: func(p *presigning) { p.key.SessionToken = "" }, code: "InvalidClientTokenId"},
		{name: "another session's token", before: func(p *presigning) { p.key.SessionToken = other.SessionToken }, code: "InvalidClientTokenId"},
		{name: "another session's secret", before: func(p *presigning) { p.key.SecretAccessKey = other.SecretAccessKey }, code: "SignatureDoesNotMatch"},
		{name: "token on a long-term key", before: func(p *presigning) { p.key = c.alice; p.key.SessionToken = mine.SessionToken }, code: "InvalidClientTokenId"},
		{name: "scoped to another service", before: func(p *presigning) { p.service = "s3" }, code: "SignatureDoesNotMatch",
			says: "Credential should be scoped to correct service: 'sts'."},
		{name: "scoped to IAM", before: func(p *presigning) { p.service = "iam" }, code: "InvalidAction",
			says: "Could not find operation GetCallerIdentity for version 2011-06-15"},
		{name: "region of another partition", before: func(p *presigning) { p.region = "cn-north-1" }, code: "InvalidClientTokenId"},
		{name: "no region at all", before: func(p *presigning) { p.region = "global" }, code: "SignatureDoesNotMatch", says: "Credential should be scoped to a valid region."},
		{name: "host of AWS's, its region", before: func(p *presigning) { p.host = "sts.eu-west-1.amazonaws.com" }},
		{name: "host of AWS's, another region", before: func(p *presigning) { p.host = "sts.eu-west-2.amazonaws.com" }, code: "SignatureDoesNotMatch",
			says: "Credential should be scoped to a valid region."},
		{name: "global host", before: func(p *presigning) { p.host = "sts.amazonaws.com"; p.region = "us-east-1" }},
		{name: "global host, another region", before: func(p *presigning) { p.host = "sts.amazonaws.com" }, code: "SignatureDoesNotMatch"},
		{name: "EKS's host", before: func(p *presigning) { p.host = "eks.eu-west-1.amazonaws.com" }, code: "SignatureDoesNotMatch",
			says: "Credential should be scoped to correct service: 'eks'."},
		{name: "no action", before: func(p *presigning) { p.url = c.url + "/?Version=2011-06-15" }, code: "MissingAction"},
		{name: "another action", before: func(p *presigning) { p.url = c.url + "/?Action=GetSessionToken&Version=2011-06-15" }, code: "InvalidAction"},
		{name: "another version", before: func(p *presigning) { p.url = c.url + "/?Action=GetCallerIdentity&Version=2010-05-08" }, code: "InvalidAction"},
		{name: "another path", before: func(p *presigning) { p.url = c.url + "/x" + identityURL[1:] }, code: "UnknownOperationException"},
		{name: "action given twice", before: func(p *presigning) { p.url += "&Action=GetCallerIdentity" }, code: "MalformedQueryString"},
		{name: "PUT", before: func(p *presigning) { p.method = http.MethodPut }, code: "InvalidAction"},

		{name: "Accept unsigned", after: func(r *http.Request) { r.Header.Set("Accept", "application/json, */*") }},
		{name: "parameters in another order", after: func(r *http.Request) {
			parts := strings.Split(r.URL.RawQuery, "&")
			r.URL.RawQuery = strings.Join(append(parts[1:], parts[0]), "&")
		}},
		{name: "another cluster", after: func(r *http.Request) { r.Header.Set("X-K8s-Aws-Id", "prod") }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "no cluster", after: func(r *http.Request) { r.Header.Del("X-K8s-Aws-Id") }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "two clusters", after: func(r *http.Request) { r.Header.Add("X-K8s-Aws-Id", "prod") }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "spaces around the cluster", after: func(r *http.Request) { r.Header.Set("X-K8s-Aws-Id", " demo ") }},
		{name: "another host", after: func(r *http.Request) { r.Host = "sts.example.com" }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "POST", after: func(r *http.Request) { r.Method = http.MethodPost }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "a body", after: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1
		}, code: "SignatureDoesNotMatch", says: wrong},
		{name: "path", after: func(r *http.Request) { r.URL.Path = "/x" }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "one more parameter", after: func(r *http.Request) { r.URL.RawQuery += "&x=1" }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "action", after: func(r *http.Request) { setQuery(r, "Action", "AssumeRole") }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "signature", after: func(r *http.Request) { setQuery(r, "X-Amz-Signature", strings.Repeat("0", 64)) }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "signature in capitals", after: func(r *http.Request) {
			setQuery(r, "X-Amz-Signature", strings.ToUpper(r.URL.Query().Get("X-Amz-Signature")))
		}, code: "SignatureDoesNotMatch", says: wrong},
		{name: "signature missing", after: func(r *http.Request) { dropQuery(r, "X-Amz-Signature") }, code: "IncompleteSignature",
			says: "AWS query-string parameters must include 'X-Amz-Signature'. Re-examine the query-string parameters."},
		{name: "signature twice", after: func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Signature=0" }, code: "IncompleteSignature"},
		{name: "later", after: func(r *http.Request) { setQuery(r, "X-Amz-Date", "20260314T150927Z") }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "date in another form", after: func(r *http.Request) { setQuery(r, "X-Amz-Date", "2026-03-14T15:09:26Z") }, code: "IncompleteSignature"},
		{name: "date of another day than the scope", after: func(r *http.Request) { setQuery(r, "X-Amz-Date", "20260315T000000Z") }, code: "SignatureDoesNotMatch",
			says: "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260314' != '20260315', from '20260315T000000Z'."},
		{name: "algorithm", after: func(r *http.Request) { setQuery(r, "X-Amz-Algorithm", "AWS4-HMAC-SHA1") }, code: "IncompleteSignature"},
		{name: "algorithm missing", after: func(r *http.Request) { dropQuery(r, "X-Amz-Algorithm") }, code: "MissingAuthenticationToken",
			says: "Request is missing Authentication Token"},
		{name: "scope region", after: func(r *http.Request) { replaceQuery(r, "eu-west-1", "eu-west-2") }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "scope terminator", after: func(r *http.Request) { replaceQuery(r, "aws4_request", "aws5_request") }, code: "SignatureDoesNotMatch",
			says: "Credential should be scoped with a valid terminator: 'aws4_request'."},
		{name: "scope of four parts", after: func(r *http.Request) { replaceQuery(r, "%2Faws4_request", "") }, code: "IncompleteSignature"},
		{name: "cluster not among the signed headers", after: func(r *http.Request) { setQuery(r, "X-Amz-SignedHeaders", "host") }, code: "SignatureDoesNotMatch"},
		{name: "host not among the signed headers", after: func(r *http.Request) { setQuery(r, "X-Amz-SignedHeaders", "x-k8s-aws-id") }, code: "SignatureDoesNotMatch",
			says: "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{name: "signed headers in capitals", after: func(r *http.Request) { setQuery(r, "X-Amz-SignedHeaders", "host;X-K8s-Aws-Id") }, code: "SignatureDoesNotMatch"},
		{name: "signed headers in another order", after: func(r *http.Request) { setQuery(r, "X-Amz-SignedHeaders", "x-k8s-aws-id;host") }, code: "SignatureDoesNotMatch"},
		{name: "expiry", after: func(r *http.Request) { setQuery(r, "X-Amz-Expires", "60") }, code: "SignatureDoesNotMatch", says: wrong},
		{name: "an x-amz header unsigned", after: func(r *http.Request) { r.Header.Set("X-Amz-Target", "x") }, code: "SignatureDoesNotMatch",
			says: "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
		{name: "an Authorization header besides", after: func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, code: "IncompleteSignature"},
		{name: "bad escape", after: func(r *http.Request) { r.URL.RawQuery += "&x=%zz" }, code: "MalformedQueryString"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := presigning{key: mine, method: http.MethodGet, url: c.url + identityURL, cluster: "demo", service: "sts", region: "eu-west-1", at: now}
			if tt.before != nil {
				tt.before(&p)
			}
			r := p.request(t)
			if tt.after != nil {
				tt.after(r)
			}
			response := get(t, r)
			var answer struct {
				GetCallerIdentityResponse *struct {
					GetCallerIdentityResult struct{ Arn, Account, UserId string }
				}
				Error     struct{ Code, Message, Type string }
				RequestId string
			}
			body, _ := io.ReadAll(response.Body)
			if err := json.Unmarshal(body, &answer); err != nil {
				t.Fatalf("%d %s: %v", response.StatusCode, body, err)
			}
			if tt.code == "" {
				if response.StatusCode != 200 || answer.GetCallerIdentityResponse == nil || answer.GetCallerIdentityResponse.GetCallerIdentityResult.Account != account {
					t.Fatalf("got %d %s", response.StatusCode, body)
				}
				return
			}
			statuses := map[string]int{"IncompleteSignature": 400, "InvalidAction": 400, "MissingAction": 400, "MalformedQueryString": 404, "UnknownOperationException": 404}
			want, ok := statuses[tt.code]
			if !ok {
				want = 403
			}
			if tt.name == "PUT" {
				want = 405
			}
			if response.StatusCode != want || answer.Error.Code != tt.code || answer.Error.Type != "Sender" || answer.RequestId == "" {
				t.Errorf("got %d %s, want %d %s", response.StatusCode, body, want, tt.code)
			}
			if tt.says != "" && answer.Error.Message != tt.says {
				t.Errorf("says %q, want %q", answer.Error.Message, tt.says)
			}
		})
	}
}

func replaceQuery(r *http.Request, from, to string) {
	r.URL.RawQuery = strings.Replace(r.URL.RawQuery, from, to, 1)
}

// TestHeaderForm does the same for signatures in the Authorization header.
func TestHeaderForm(t *testing.T) {
	const form = "Action=GetCallerIdentity&Version=2011-06-15"
	now := time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	c := newCloud(t, fakeaws.Config{Now: at(now)})
	sum := sha256.Sum256([]byte(form))
	digest := hex.EncodeToString(sum[:])
	// sign signs a request, with a header that states a payload digest if one is
	// given; what goes into the signature is always the form's own.
	sign := func(r *http.Request, states string) {
		r.Header.Del("Authorization")
		if states != "" {
			r.Header.Set("X-Amz-Content-Sha256", states)
		}
		if err := v4.NewSigner().SignHTTP(context.Background(), sdkCredentials(c.alice), r, digest, "sts", "eu-west-1", now); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		mutate func(*http.Request)
		code   string
	}{
		{"nothing", func(*http.Request) {}, ""},
		{"User-Agent", func(r *http.Request) { r.Header.Set("User-Agent", "x") }, ""},
		{"body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Replace(form, "C", "c", 1))) }, "SignatureDoesNotMatch"},
		{"content type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "SignatureDoesNotMatch"},
		{"payload digest, unsigned", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", digest) }, "SignatureDoesNotMatch"},
		{"payload digest, signed", func(r *http.Request) { sign(r, digest) }, ""},
		{"payload digest of another body, signed", func(r *http.Request) { sign(r, emptyDigest) }, "SignatureDoesNotMatch"},
		{"date", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260314T150927Z") }, "SignatureDoesNotMatch"},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, "IncompleteSignature"},
		{"plain Date", func(r *http.Request) {
			r.Header.Del("X-Amz-Date")
			r.Header.Set("Date", now.Format(http.TimeFormat))
		}, "SignatureDoesNotMatch"}, // x-amz-date was signed
		{"parameter in the URL", func(r *http.Request) { r.URL.RawQuery = "Action=AssumeRole" }, "MalformedQueryString"},
		{"another token", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, "SignatureDoesNotMatch"},
		{"scheme", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "IncompleteSignature"},
		{"no scheme", func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256") }, "IncompleteSignature"},
		{"twice", func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, "IncompleteSignature"},
		{"credential twice", func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")+", Credential=x")
		}, "IncompleteSignature"},
		{"no signature", func(r *http.Request) {
			head, _, _ := strings.Cut(r.Header.Get("Authorization"), ", Signature=")
			r.Header.Set("Authorization", head)
		}, "IncompleteSignature"},
		{"no blanks", func(r *http.Request) {
			r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), ", ", ","))
		}, ""},
		{"none", func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationToken"},
		{"too much body", func(r *http.Request) {
			r.ContentLength = 1 << 20
			r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20)))
		}, "RequestEntityTooLarge"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodPost, c.url+"/", strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			sign(r, "")
			tt.mutate(r)
			response := get(t, r)
			body, _ := io.ReadAll(response.Body)
			var answer struct {
				XMLName xml.Name
				Result  struct{ Arn, UserId, Account string } `xml:"GetCallerIdentityResult"`
				Error   struct{ Type, Code, Message string }
			}
			if err := xml.Unmarshal(body, &answer); err != nil {
				t.Fatalf("%d %s: %v", response.StatusCode, body, err)
			}
			if answer.XMLName.Space != "https://sts.amazonaws.com/doc/2011-06-15/" || response.Header.Get("Content-Type") != "text/xml" {
				t.Errorf("got %s as %s", body, response.Header.Get("Content-Type"))
			}
			if answer.Error.Code != tt.code || tt.code == "" && answer.Result.Account != account {
				t.Errorf("got %d %s, want %q", response.StatusCode, body, tt.code)
			}
			if signature := r.Header.Get("Authorization"); len(signature) > 64 && strings.Contains(string(body), signature[len(signature)-64:]) {
				t.Errorf("the answer holds the signature: %s", body)
			}
		})
	}
}
