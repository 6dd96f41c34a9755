package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// call invokes a function as aws-lambda-go does, and gives its answer or its error.
func call(t *testing.T, f *function, within time.Duration) (string, *messages.InvokeResponse_Error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	out, err := lambda.NewHandler(f.invoke).Invoke(ctx, []byte("{}"))
	if ctx.Err() != nil {
		t.Error("the deadline was over before there was an answer")
	}
	var failure messages.InvokeResponse_Error
	if err != nil && !errors.As(err, &failure) {
		t.Fatalf("%T: %v", err, err)
	}
	if err != nil {
		return "", &failure
	}
	return string(out), nil
}

// small is an API server with three pods, on two pages.
func small(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/api/v1/pods":
		missing(rw)
	case r.URL.Query().Get("continue") == "":
		page(rw, 2, "more")
	default:
		page(rw, 1, "")
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	var out bytes.Buffer
	f := newFunction(w.getenv, log.New(&out, "", 0))
	w.is(small)
	f.start()
	if urls := w.urls(); len(urls) != 0 || out.Len() != 0 {
		t.Errorf("at the start: %q, %s", urls, out.String())
	}
	got, failure := call(t, f, time.Minute)
	if want := `{"pods":3,"pod":{"name":"example-xxxxx","namespace":"default","found":false}}`; got != want {
		t.Errorf("%s, %v, want %s", got, failure, want)
	}
	if want := "There are 3 pods in the cluster\nPod example-xxxxx in namespace default not found\n"; out.String() != want {
		t.Errorf("the log:\n%s", out.String())
	}
	want := []string{
		"/api/v1/pods?limit=500", "/api/v1/pods?continue=more&limit=500", "/api/v1/namespaces/default/pods/example-xxxxx",
	}
	if urls := w.urls(); !reflect.DeepEqual(urls, want) {
		t.Errorf("%q", urls)
	}
	if n := w.aws.Counts()[fakeaws.DescribeCluster]; n != 1 {
		t.Errorf("EKS was asked %d times", n)
	}
}

// The moment of the first page may be forgotten before the last one is there; the
// API server then says how to go on all the same.
func TestForgottenPages(t *testing.T) {
	for _, c := range []struct {
		name, next string
		first      bool // whether the first page is refused already
		pods       string
	}{
		{"goes on", "again", false, `{"pods":3,`},
		{"cannot go on", "", false, ""},
		{"at the first page", "again", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := newFunction(w.getenv, log.New(&bytes.Buffer{}, "", 0))
			w.is(func(rw http.ResponseWriter, r *http.Request) {
				switch next := r.URL.Query().Get("continue"); {
				case c.first, next == "more":
					fails(rw, http.StatusGone, "Expired", "the continue token is too old", c.next)
				default:
					small(rw, r)
				}
			})
			got, failure := call(t, f, time.Minute)
			if c.pods != "" && !strings.HasPrefix(got, c.pods) || c.pods == "" && (failure == nil || failure.Type != kindKubernetes) {
				t.Errorf("%s, %v", got, failure)
			}
		})
	}
}

// TestFailures has one thing wrong a row. Each is a readable error with a type, and
// the next invocation works when it was put right.
func TestFailures(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	says := func(code int, reason, message string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.is(func(rw http.ResponseWriter, _ *http.Request) { fails(rw, code, reason, message, "") })
		}
	}
	set := func(name, value string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { w.env[name] = value }
	}
	for _, c := range []struct {
		name       string
		wrong      func(*testing.T, *world)
		kind, text string
	}{
		{"no cluster", set("CLUSTER", ""), kindSetting, "the function's variable CLUSTER is empty"},
		{"no pod", set("POD", ""), kindSetting, "POD is empty"},
		{"no namespace", set("POD_NAMESPACE", ""), kindSetting, "POD_NAMESPACE is empty"},
		{"a role that is none", set("ROLE_ARN", "platform"), kindSetting, "role"},
		{"half of where it is", set("CLUSTER_ENDPOINT", "https://127.0.0.1:1"), kindSetting, "Endpoint and CAData must be set together"},
		{"a CA that is no base64", set("CLUSTER_CA", "!"), kindSetting, "CLUSTER_CA is not base64"},
		{"an age that is none", set("TOKEN_MAX_AGE", "young"), kindSetting, "TOKEN_MAX_AGE is not a duration"},
		{"an age below nothing", set("TOKEN_MAX_AGE", "-1s"), kindSetting, "TOKEN_MAX_AGE is not a duration"},
		{"another cluster", set("CLUSTER", "nowhere"), kindNotFound, "there is no cluster nowhere in eu-central-1"},
		{"a role refused", set("ROLE_ARN", "arn:aws:iam::111122223333:role/nobodys"), kindRole, "assuming role arn:aws:iam::111122223333:role/nobodys: AccessDenied"},
		{"EKS refuses", func(_ *testing.T, w *world) {
			w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Code: "AccessDenied"})
		}, kindDescribe, "describing cluster demo in eu-central-1: AccessDenied"},
		{"half a key pair", func(t *testing.T, _ *world) { t.Setenv("AWS_ACCESS_KEY_ID", "") }, kindCredentials, "AWS_ACCESS_KEY_ID is not"},
		{"no credentials", func(t *testing.T, _ *world) {
			t.Setenv("AWS_ACCESS_KEY_ID", "")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		}, kindCredentials, "credentials"},
		{"a CA that is none", func(_ *testing.T, w *world) {
			w.env["CLUSTER_ENDPOINT"], w.env["CLUSTER_CA"] = "https://127.0.0.1:1", "LS0="
		}, kindSetting, "CAData contains no PEM certificate"},
		{"AWS is slow", func(_ *testing.T, w *world) {
			w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Latency: time.Minute})
		}, kindTimeout, "opening the cluster: context deadline exceeded"},
		{"the API server is slow", func(_ *testing.T, w *world) { w.is(hang) }, kindTimeout, "counting the pods: context deadline exceeded"},
		{"unknown to the cluster", says(http.StatusUnauthorized, "Unauthorized", "Unauthorized"), kindUnauthorized, "the cluster has no access entry"},
		{"not allowed", says(http.StatusForbidden, "Forbidden", "pods is forbidden"), kindForbidden, "counting the pods: pods is forbidden: the role's group needs"},
		{"broken", says(http.StatusInternalServerError, "InternalError", "etcd is away"), kindKubernetes, "counting the pods: etcd is away"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			var out bytes.Buffer
			f := newFunction(w.getenv, log.New(&out, "", 0))
			w.is(small)
			good := map[string]string{}
			for name, value := range w.env {
				good[name] = value
			}
			c.wrong(t, w)
			_, failure := call(t, f, 2*time.Second)
			if failure == nil || failure.Type != c.kind || !strings.Contains(failure.Message, c.text) {
				t.Fatalf("%+v, want %s: %s", failure, c.kind, c.text)
			}
			shown, err := json.Marshal(failure)
			if err != nil {
				t.Fatal(err)
			}
			if all := string(shown) + out.String(); strings.Contains(all, w.key.SecretAccessKey) || strings.Contains(all, "k8s-aws-v1.") || strings.Contains(all, "https://") {
				t.Errorf("too much is shown:\n%s", all)
			}
			t.Log(failure.Type + ": " + failure.Message)

			w.env = good
			w.aws.ClearFaults()
			w.is(small)
			t.Setenv("AWS_ACCESS_KEY_ID", w.key.AccessKeyID)
			t.Setenv("AWS_SECRET_ACCESS_KEY", w.key.SecretAccessKey)
			if got, failure := call(t, f, time.Minute); !strings.HasPrefix(got, `{"pods":3,`) {
				t.Errorf("afterwards: %s %+v", got, failure)
			}
		})
	}
}

// What fails before the first invocation is logged, and nothing more.
func TestStartFails(t *testing.T) {
	w := newWorld(t)
	w.env["CLUSTER"] = "nowhere"
	var out bytes.Buffer
	f := newFunction(w.getenv, log.New(&out, "", 0))
	f.start()
	if want := "Not ready yet: opening the cluster: there is no cluster nowhere in eu-central-1 for this account\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
	w.env["CLUSTER"] = cluster
	w.is(small)
	if got, failure := call(t, f, time.Minute); !strings.HasPrefix(got, `{"pods":3,`) {
		t.Errorf("%s %+v", got, failure)
	}
}

// A client that did not get through is not used again; one that the API server
// answered is.
func TestWhichClientIsKept(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		kept   bool
	}{
		{"all is well", small, true},
		{"not allowed", func(rw http.ResponseWriter, _ *http.Request) { fails(rw, 403, "Forbidden", "no", "") }, true},
		{"cut off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := newFunction(w.getenv, log.New(&bytes.Buffer{}, "", 0))
			f.start()
			before := f.opened
			w.is(c.answer)
			_, _ = call(t, f, 2*time.Second)
			if kept := f.opened == before && before != nil; kept != c.kept {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}
