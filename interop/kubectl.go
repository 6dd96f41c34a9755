package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// installKubectl compiles the kubectl that goes with the sandbox's API server.
func installKubectl(ctx context.Context, in *installer) (driver, error) {
	path, err := in.goBuild(ctx, "../sandbox/controlplane", "./cmd/kubectl", "kubectl")
	return func(ctx context.Context, s *session) (string, error) { return driveKubectl(ctx, s, path) }, err
}

// eachTick prints an event for each pod that has a tick.
const eachTick = `{{with .metadata.annotations}}{{with index . "interop/tick"}}saw {{.}}{{"\n"}}{{end}}{{end}}`

// driveKubectl lists with one kubectl, watches with a second, and asks again and
// again through `kubectl proxy`, which is how one kubectl lives for long. The
// connections are not cut: `kubectl get --watch` ends with its first.
func driveKubectl(ctx context.Context, s *session, kubectl string) (string, error) {
	out, err := s.command(ctx, kubectl, "get", "pods", "--namespace", namespace, "--output", "name")
	if err != nil {
		return "", err
	}
	if !strings.Contains(out, "pod/") {
		return "", fmt.Errorf("kubectl get pods printed %q", out)
	}
	e := newEvents()
	watching, err := s.watch(e, "watch", kubectl, "get", "pods", "--namespace", namespace, "--watch", "--output", "go-template="+eachTick)
	if err != nil {
		return "", err
	}
	defer watching.stop()
	address := make(chan string, 1)
	proxying, err := start(s.dir, "proxy", s.environ, func(line string) {
		if _, at, ok := strings.Cut(line, "Starting to serve on "); ok {
			address <- strings.TrimSpace(at)
		}
	}, kubectl, "proxy", "--port", "0")
	if err != nil {
		return "", err
	}
	defer proxying.stop()
	var url string
	select {
	case at := <-address:
		url = "http://" + at + "/api/v1/namespaces/" + namespace + "/pods"
	case <-proxying.ended:
		return "", errors.New("kubectl proxy ended: " + proxying.said())
	case <-time.After(startWithin):
		return "", errors.New("kubectl proxy does not listen")
	}
	polling, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	defer func() { stop(); <-ended }()
	go func() {
		defer close(ended)
		for polling.Err() == nil {
			code, err := statusOf(polling, url)
			switch {
			case polling.Err() != nil:
			case err != nil:
				e.add(event{time.Now(), "failed", 0, err.Error()})
			case code != http.StatusOK:
				e.add(event{time.Now(), "failed", code, "through kubectl proxy"})
			default:
				e.add(event{time.Now(), "listed", 1, ""})
			}
			select {
			case <-polling.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return s.hold(ctx, e, false, watching, proxying)
}

func statusOf(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
