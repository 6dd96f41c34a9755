package kubeclient

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// A client held open over two hundred expiries while it lists twenty times a
// second and watches.
func TestTwoHundredExpiries(t *testing.T) {
	const expiries = 200
	for _, c := range []struct {
		name string
		// The age that the server takes, and the one that the client knows of.
		server, client time.Duration
		refused        bool
	}{
		{"renewed ahead", 4 * time.Second, 4 * time.Second, false},
		{"renewed on 401", 3 * time.Second, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			noAWS(t)
			synctest.Test(t, func(t *testing.T) {
				network, api := newPipes(), newAPI(c.server)
				ca, stop := network.serve(t, api)
				defer stop()
				var minted atomic.Int64
				client, err := New(t.Context(), Config{
					Cluster: "demo", Region: "us-east-1", Credentials: counted(&minted),
					Endpoint: "https://api.test", CAData: ca, TokenMaxAge: c.client,
				})
				if err != nil {
					t.Fatal(err)
				}
				conf := client.RESTConfig()
				conf.QPS, conf.Dial = -1, network.dial
				pods := kubernetes.NewForConfigOrDie(conf).CoreV1().Pods("")
				watch, err := pods.Watch(t.Context(), metav1.ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				var events atomic.Int64
				var watching sync.WaitGroup
				watching.Go(func() {
					for range watch.ResultChan() {
						events.Add(1)
					}
				})
				ctx, end := context.WithCancel(t.Context())
				var lists sync.WaitGroup
				for range 4 {
					lists.Go(func() {
						tick := time.NewTicker(200 * time.Millisecond)
						defer tick.Stop()
						for ctx.Err() == nil {
							if list, err := pods.List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 2 {
								t.Errorf("listing: %v", err)
								return
							}
							<-tick.C
						}
					})
				}
				until := func(tokens int64) (goroutines int, heap uint64) {
					for minted.Load() < tokens {
						time.Sleep(time.Second)
					}
					synctest.Wait()
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					return runtime.NumGoroutine(), m.HeapAlloc
				}
				start := time.Now()
				goroutines, heap := until(expiries / 10)
				goroutinesAfter, heapAfter := until(expiries + 1)
				seen := api.events.Load()
				// One renewal each: a token is used for most of its life, less the second that
				// its signature is cut to.
				if each := time.Since(start) / time.Duration(minted.Load()); each < c.server*6/10 || each > c.server {
					t.Errorf("a token was used for %v of %v", each, c.server)
				}
				end()
				lists.Wait()
				t.Logf("%d lists, %d tokens, %d answers 401, %d events; %d then %d goroutines, %d then %d bytes of heap",
					api.lists.Load(), api.tokens(), api.refusals.Load(), seen, goroutines, goroutinesAfter, heap, heapAfter)
				if goroutinesAfter > goroutines {
					t.Errorf("%d goroutines became %d", goroutines, goroutinesAfter)
				}
				if heapAfter > heap+1<<20 {
					t.Errorf("%d bytes of heap became %d", heap, heapAfter)
				}
				if int64(api.tokens()) != minted.Load() {
					t.Errorf("%d tokens were minted, and %d used", minted.Load(), api.tokens())
				}
				if got := api.refusals.Load(); (got > 0) != c.refused {
					t.Errorf("%d answers were 401", got)
				}
				if api.watches.Load() != 1 || events.Load() < seen-1 || seen < expiries {
					t.Errorf("%d watches, %d events of %d arrived", api.watches.Load(), events.Load(), seen)
				}
				if api.http2.Load() == 0 {
					t.Error("nothing came by HTTP/2")
				}
				client.Close() // cuts the watch
				watching.Wait()
				watch.Stop()
			}) // and synctest fails where a goroutine is left
		})
	}
}
