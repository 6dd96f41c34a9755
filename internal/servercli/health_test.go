package servercli

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
)

// Health is at the port that aws-iam-authenticator's manifests probe, unless somebody has
// it already; a configured address that is in use is an error.
func TestDefaultHealthAddress(t *testing.T) {
	listen := func(address string, port int) (string, string, error) {
		t.Helper()
		var log bytes.Buffer
		l, err := listenHealth(t.Context(), &config{server: serverConfig{port: port, healthAddress: address}}, slog.New(slog.NewTextHandler(&log, nil)))
		if l == nil {
			return "", log.String(), err
		}
		t.Cleanup(func() { _ = l.Close() })
		return l.Addr().String(), log.String(), err
	}
	for _, none := range []struct {
		address string
		port    int
	}{{"none", 21362}, {"", 0}} {
		if at, log, err := listen(none.address, none.port); at != "" || log != "" || err != nil {
			t.Errorf("%v: %s %s %v", none, at, log, err)
		}
	}
	at, log, err := listen("", 21362)
	inUse := strings.Contains(log, "health is not served") // by another test or server
	if err != nil || !strings.HasSuffix(at, ":21363") && !inUse {
		t.Fatalf("%q %s %v", at, log, err)
	}
	if at, log, err := listen("", 21362); at != "" || err != nil || !strings.Contains(log, "health is not served: set server.healthAddress") || !strings.Contains(log, ":21363") {
		t.Errorf("in use: %q %s %v", at, log, err)
	}
	if _, _, err := listen(":21363", 21362); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "server.healthAddress") {
		t.Errorf("in use, and configured: %v", err)
	}
}
