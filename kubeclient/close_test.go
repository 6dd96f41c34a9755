package kubeclient

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// static is a Config that asks nobody where the cluster is.
func (w *world) static() Config {
	c := w.config()
	c.Endpoint, c.CAData = "https://"+w.k8s.Address, w.k8s.CA
	return c
}

// What a request waits for ends with the Client, however patient the request is.
func TestCloseEndsWaiting(t *testing.T) {
	for _, c := range []struct {
		name string
		// set begins a request that waits, and gives what it ends with.
		set func(*testing.T, *world) (client *Client, done chan error)
	}{
		{"for a connection", func(t *testing.T, w *world) (*Client, chan error) {
			client := w.open(w.static())
			conf := client.RESTConfig()
			dialing, done := make(chan struct{}), make(chan error, 1)
			conf.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				close(dialing)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			set := clientset(t, conf)
			go func() { done <- list(set) }()
			<-dialing
			return client, done
		}},
		{"for EKS", func(t *testing.T, w *world) (*Client, chan error) {
			client := w.open(w.config())
			set, done := clientset(t, client.RESTConfig()), make(chan error, 1)
			w.k8s.HTTP.Close()
			w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Latency: time.Hour})
			go func() { done <- list(set) }()
			for w.described() < 2 {
				time.Sleep(time.Millisecond)
			}
			return client, done
		}},
		{"for a token", func(t *testing.T, w *world) (*Client, chan error) {
			conf := w.static()
			keys := conf.Credentials
			asked, done := make(chan struct{}), make(chan error, 1)
			var slow atomic.Bool
			conf.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
				if !slow.Load() {
					return keys.Retrieve(ctx)
				}
				close(asked)
				<-ctx.Done()
				return aws.Credentials{}, ctx.Err()
			})
			client := w.open(conf)
			set := clientset(t, client.RESTConfig())
			if err := list(set); err != nil {
				t.Fatal(err)
			}
			slow.Store(true)
			w.api.revoke()
			go func() { done <- list(set) }()
			<-asked
			return client, done
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, done := c.set(t, newWorld(t))
			client.Close()
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("%T %v", err, err)
			}
		})
	}
}

// One request at a time asks EKS, and the others' haste does not make it many.
func TestImpatientCallers(t *testing.T) {
	w := newWorld(t)
	client := w.open(w.config())
	set := clientset(t, client.RESTConfig())
	w.k8s.HTTP.Close()
	w.aws.SetFault(fakeaws.DescribeCluster, fakeaws.Fault{Latency: time.Hour})
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := set.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && !as[*UnreachableError](err) {
			t.Errorf("%T %v", err, err)
		}
	}
	if n := w.described(); n != 2 {
		t.Errorf("EKS was asked %d times", n)
	}
}

// client-go has one transport for all Clients of a cluster. One that is open does
// not keep those that are closed.
func TestClosedClientsAreForgotten(t *testing.T) {
	w := newWorld(t)
	set := clientset(t, w.open(w.static()).RESTConfig())
	const many = 20
	forgotten := make(chan struct{}, many)
	for range many {
		client, err := New(t.Context(), w.static())
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(client, func(c chan struct{}) { c <- struct{}{} }, forgotten)
		if err := list(clientset(t, client.RESTConfig())); err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	for tries := 0; len(forgotten) < many/2; tries++ {
		if tries > 500 {
			t.Fatalf("%d of %d were forgotten", len(forgotten), many)
		}
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	if err := list(set); err != nil {
		t.Error(err)
	}
}

// The connections to AWS end as well, and not when they have been idle for long.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	w := newWorld(t)
	const many = 20
	open := func(c Config) {
		if client, err := New(t.Context(), c); err == nil {
			client.Close()
		}
	}
	gone := w.config()
	gone.Cluster = "gone"
	open(w.config())
	before := runtime.NumGoroutine()
	for range many {
		open(w.config())
		open(gone)
	}
	for tries := 0; runtime.NumGoroutine() > before+many/2; tries++ {
		if tries > 500 {
			t.Fatalf("%d goroutines became %d", before, runtime.NumGoroutine())
		}
		time.Sleep(10 * time.Millisecond)
	}
}
