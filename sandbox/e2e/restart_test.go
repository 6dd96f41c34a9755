//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ekskey/ekskey/sandbox/internal/stack"
)

// TestRestartUnderLoad kills ekskey-server again and again while good and bad
// tokens keep coming.
func TestRestartUnderLoad(t *testing.T) {
	b := own(t, stack.Config{WebhookTTL: -1})
	client, err := b.Client()
	if err != nil {
		t.Fatal(err)
	}
	client.Timeout = 5 * time.Second
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	defer client.CloseIdleConnections()
	offline, online := badTokens(t, b)
	// kube-apiserver keeps what was good for ten seconds, whatever it is told:
	// each good token is another.
	var minted atomic.Int64
	fresh := func() string {
		n := int(minted.Add(1))
		who := []string{"admin", "dev", "creator"}[n%3]
		return b.mint(t, who, at(-time.Duration(n/3%800)*time.Second))
	}

	var refused, wronglyLetIn, letIn, failed atomic.Int64
	var wg sync.WaitGroup
	end := make(chan struct{})
	repeat := func(do func()) {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					do()
				}
			}
		})
	}
	for _, tokens := range []map[string]string{offline, online} {
		for name, tok := range tokens {
			repeat(func() {
				code, err := ask(t, client, b.Record().APIServer, tok)
				switch {
				case err != nil:
				case code < 400:
					wronglyLetIn.Add(1)
					t.Errorf("%s: let in with %d", name, code)
				case code == http.StatusUnauthorized:
					refused.Add(1)
				}
				time.Sleep(5 * time.Millisecond)
			})
		}
	}
	for range 2 {
		repeat(func() {
			if code, err := ask(t, client, b.Record().APIServer, fresh()); err == nil && code == http.StatusOK {
				letIn.Add(1)
			} else {
				failed.Add(1)
			}
			time.Sleep(20 * time.Millisecond)
		})
	}
	flows := func(what string) {
		t.Helper()
		ins, outs := letIn.Load(), refused.Load()
		waitFor(t, what, func() bool { return letIn.Load() > ins+20 && refused.Load() > outs+20 })
	}
	flows("good tokens to be let in and bad ones to be refused")
	for _, signal := range []os.Signal{os.Kill, syscall.SIGTERM, os.Kill} {
		pid, err := b.ServerPID()
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Signal(signal); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "another ekskey-server", func() bool {
			now, err := b.ServerPID()
			return err == nil && now != pid
		})
		flows("things to be as before after " + signal.String())
	}
	close(end)
	wg.Wait()
	if failed.Load() == 0 {
		t.Error("no good token was ever refused: the server was never away")
	}
	t.Logf("%d times let in, %d times not while the server was away, %d refused, %d wrongly let in",
		letIn.Load(), failed.Load(), refused.Load(), wronglyLetIn.Load())
}
