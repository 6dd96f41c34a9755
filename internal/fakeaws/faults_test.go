package fakeaws_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"net/http/httptest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

func TestFaultCodes(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	identity := func() error {
		_, err := c.sts(c.alice).GetCallerIdentity(context.Background(), nil)
		return err
	}
	describe := func() error {
		_, err := c.eks(c.alice).DescribeCluster(context.Background(), &eks.DescribeClusterInput{Name: aws.String("x")})
		return err
	}
	tests := []struct {
		name   string
		action fakeaws.Action
		fault  fakeaws.Fault
		do     func() error
		code   string
		status int
	}{
		{"STS throttles with 400", fakeaws.GetCallerIdentity, fakeaws.Fault{Code: "Throttling"}, identity, "Throttling", 400},
		{"EKS throttles with 429", fakeaws.DescribeCluster, fakeaws.Fault{Code: "Throttling"}, describe, "ThrottlingException", 429},
		{"STS down", fakeaws.AnyAction, fakeaws.Fault{Code: "ServiceUnavailable"}, identity, "ServiceUnavailable", 503},
		{"EKS broken", fakeaws.AnyAction, fakeaws.Fault{Code: "InternalFailure"}, describe, "ServerException", 500},
		{"a status of one's own", fakeaws.AnyAction, fakeaws.Fault{Code: "Odd", Status: 418, Message: "m"}, identity, "Odd", 418},
		{"an action of its own goes first", fakeaws.GetCallerIdentity, fakeaws.Fault{Code: "ExpiredToken"}, identity, "ExpiredToken", 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.ClearFaults()
			c.SetFault(fakeaws.AnyAction, fakeaws.Fault{Code: "RegionDisabledException"})
			c.SetFault(tt.action, tt.fault)
			wantCode(t, tt.do(), tt.code, tt.status)
		})
	}
	c.ClearFaults()
	if err := identity(); err != nil {
		t.Error(err)
	}
}

func TestFaultTimesAndCounts(t *testing.T) {
	var mu sync.Mutex
	var records []fakeaws.Record
	c := newCloud(t, fakeaws.Config{Observe: func(r fakeaws.Record) {
		mu.Lock()
		defer mu.Unlock()
		records = append(records, r)
	}})
	c.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Code: "Throttling", Times: 2})
	for i := range 3 {
		_, err := c.sts(c.alice).GetCallerIdentity(context.Background(), nil)
		if (err != nil) != (i < 2) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	unsigned, err := http.NewRequest(http.MethodGet, c.url+"/?Action=Nonsense", nil)
	if err != nil {
		t.Fatal(err)
	}
	get(t, unsigned)
	counts := c.Counts()
	if len(counts) != 2 || counts[fakeaws.GetCallerIdentity] != 3 || counts[fakeaws.AnyAction] != 1 {
		t.Errorf("counts %v", counts)
	}
	counts[fakeaws.AnyAction] = 99
	if c.Counts()[fakeaws.AnyAction] != 1 {
		t.Error("the counts are not the caller's own")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(records) != 4 {
		t.Fatalf("records %+v", records)
	}
	if r := records[0]; r.Code != "Throttling" || r.Status != 400 || r.CallerARN != "" {
		t.Errorf("the first record is %+v", r)
	}
	if r := records[2]; r.Status != 200 || r.Code != "" || r.Action != fakeaws.GetCallerIdentity || r.Region != "eu-west-1" ||
		r.CallerARN != "arn:aws:iam::111122223333:user/ops/alice" || r.AccessKeyID != c.alice.AccessKeyID {
		t.Errorf("the third record is %+v", r)
	}
	if r := records[3]; r.Code != "MissingAuthenticationToken" || r.Action != "" || r.AccessKeyID != "" {
		t.Errorf("the last record is %+v", r)
	}
}

func TestFaultRaw(t *testing.T) {
	c := newCloud(t, fakeaws.Config{})
	tests := []struct {
		name   string
		raw    fakeaws.RawAnswer
		status int
		body   string
		broken bool
	}{
		{"a proxy's page", fakeaws.RawAnswer{Status: 407, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>")}, 407, "<html>", false},
		{"a redirect", fakeaws.RawAnswer{Status: 302, Header: http.Header{"Location": {"https://example.com/"}}}, 302, "", false},
		{"an empty 200", fakeaws.RawAnswer{}, 200, "", false},
		{"half an answer", fakeaws.RawAnswer{Header: http.Header{"Content-Length": {"100"}}, Body: []byte("half")}, 200, "half", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.SetFault(fakeaws.GetCallerIdentity, fakeaws.Fault{Raw: &tt.raw})
			r, err := http.NewRequest(http.MethodGet, c.url+identityURL, nil)
			if err != nil {
				t.Fatal(err)
			}
			response := get(t, r)
			body, err := io.ReadAll(response.Body)
			if response.StatusCode != tt.status || string(body) != tt.body || errors.Is(err, io.ErrUnexpectedEOF) != tt.broken {
				t.Errorf("got %d %q, %v", response.StatusCode, body, err)
			}
			for name := range tt.raw.Header {
				if response.Header.Get(name) != tt.raw.Header.Get(name) {
					t.Errorf("%s is %q", name, response.Header.Get(name))
				}
			}
		})
	}
}

func TestFaultCut(t *testing.T) {
	server := fakeaws.New(fakeaws.Config{})
	server.SetFault(fakeaws.AnyAction, fakeaws.Fault{Cut: true})
	for _, http2 := range []bool{false, true} {
		web := httptest.NewUnstartedServer(server)
		web.EnableHTTP2 = http2
		web.StartTLS()
		response, err := web.Client().Get(web.URL + identityURL)
		if err == nil {
			_ = response.Body.Close()
			t.Errorf("HTTP/2 %t: got %s", http2, response.Status)
		}
		web.Close()
	}
	if server.Counts()[fakeaws.GetCallerIdentity] < 2 {
		t.Errorf("counts %v", server.Counts())
	}
}

func TestFaultLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := fakeaws.New(fakeaws.Config{})
		server.SetFault(fakeaws.AnyAction, fakeaws.Fault{Latency: time.Minute})
		start := time.Now()
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, identityURL, nil))
		if took := time.Since(start); took != time.Minute || w.Code != 403 {
			t.Errorf("answered %d after %s", w.Code, took)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		w = httptest.NewRecorder()
		defer func() {
			// Not an answer of 200, which the client might still see.
			if p, ok := recover().(error); !ok || !errors.Is(p, http.ErrAbortHandler) {
				t.Errorf("the connection was not broken off: %v", p)
			}
			if took := time.Since(start); took != time.Second || w.Body.Len() != 0 {
				t.Errorf("a client that left after a second was kept for %s and sent %q", took, w.Body)
			}
		}()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, identityURL, nil).WithContext(ctx))
	})
}

func TestSkew(t *testing.T) {
	now := time.Now()
	c := newCloud(t, fakeaws.Config{Now: at(now)})
	for skew, says := range map[time.Duration]string{
		-14 * time.Minute: "", 14 * time.Minute: "",
		-17 * time.Minute: "Signature not yet current: ", 17 * time.Minute: "Signature expired: ",
	} {
		c.SetSkew(skew)
		out, err := c.sts(c.alice).GetCallerIdentity(context.Background(), nil)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch: "+says)) {
			t.Errorf("with the clock at %s: %v, %v", skew, out, err)
		}
		r, err := http.NewRequest(http.MethodGet, c.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if date := get(t, r).Header.Get("Date"); date != now.UTC().Add(skew).Format(http.TimeFormat) {
			t.Errorf("with the clock at %s the answer is dated %s", skew, date)
		}
	}
	// EKS allows less. The SDK corrects its clock by the answer's Date header
	// and signs later requests of one client right, so each is a new client.
	c.SetSkew(7 * time.Minute)
	_, err := c.eks(c.alice).ListClusters(context.Background(), nil)
	wantCode(t, err, "InvalidSignatureException", 403)
}
