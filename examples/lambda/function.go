package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"k8s.io/client-go/metadata"

	"github.com/ekskey/ekskey/kubeclient"
)

// answer is what an invocation gives.
type answer struct {
	Pods int   `json:"pods"`
	Pod  found `json:"pod"`
}

type found struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Found     bool   `json:"found"`
}

// function answers invocations, with a client that it keeps from one to the next.
type function struct {
	getenv func(string) string
	log    *log.Logger
	turn   chan struct{} // holds one while somebody opens a client
	opened *opened       // nil until one was; for those who hold the turn
}

// opened is a client and what it was made of. It does not change.
type opened struct {
	settings
	client metadata.Interface
	close  func()
}

func newFunction(getenv func(string) string, logger *log.Logger) *function {
	return &function{getenv: getenv, log: logger, turn: make(chan struct{}, 1)}
}

// startLimit is less than the 10 s that Lambda gives a function to start, after
// which it would start it all over again.
//
// Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
const startLimit = 5 * time.Second

// start opens the client before the first invocation, because Lambda lends a
// starting function a whole processor, and one of little memory has a fraction of
// that later. A failure is only logged: a function that ends here is started
// again and again, and tells its callers nothing but Runtime.ExitError. The
// invocation tries again, and it is its caller who is told.
func (f *function) start() {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if _, err := f.open(ctx); err != nil {
		f.log.Print("Not ready yet: ", explain(err).Message)
	}
}

// answerTime is kept back from an invocation's deadline, to tell why there is no
// answer. Whoever is still busy at the deadline is killed, with all it keeps.
const answerTime = 500 * time.Millisecond

// invoke counts the pods, and looks for one. Its errors are Lambda's, with a type
// and a text for the caller.
func (f *function) invoke(ctx context.Context) (answer, error) {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-min(answerTime, time.Until(end)/10)))
		defer cancel()
	}
	a, err := f.answer(ctx)
	if err != nil {
		return answer{}, explain(err)
	}
	return a, nil
}

func (f *function) answer(ctx context.Context) (answer, error) {
	o, err := f.open(ctx)
	if err != nil {
		return answer{}, err
	}
	a, err := f.ask(ctx, o)
	if err != nil && !answered(err) {
		f.drop(o)
	}
	return a, err
}

func (f *function) ask(ctx context.Context, o *opened) (a answer, err error) {
	a = answer{Pod: found{Name: o.pod, Namespace: o.namespace}}
	if a.Pods, err = count(ctx, o.client); err != nil {
		return answer{}, err
	}
	f.log.Printf("There are %d pods in the cluster", a.Pods)
	if a.Pod.Found, err = has(ctx, o.client, o.namespace, o.pod); err != nil {
		return answer{}, err
	}
	what := "found"
	if !a.Pod.Found {
		what = "not found"
	}
	f.log.Printf("Pod %s in namespace %s %s", o.pod, o.namespace, what)
	return a, nil
}

// open gives the client, and makes it if there is none yet.
func (f *function) open(ctx context.Context) (*opened, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.opened != nil {
		return f.opened, nil
	}
	s, err := read(f.getenv)
	if err != nil {
		return nil, err
	}
	// The client lives on when ctx has ended, but making it takes no longer than that.
	life, end := context.WithCancelCause(context.Background())
	made := context.AfterFunc(ctx, func() { end(ctx.Err()) })
	client, err := kubeclient.New(life, s.cluster)
	if err == nil && !made() {
		err = ctx.Err()
	}
	if err != nil {
		end(err)
		return nil, fmt.Errorf("opening the cluster: %w", err)
	}
	conf := client.RESTConfig()
	conf.UserAgent = "ekskey-lambda"
	conf.QPS = -1 // what comes one after the other needs no limit
	pods, err := metadata.NewForConfig(conf)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("opening the cluster: %w", err)
	}
	f.opened = &opened{settings: s, client: pods, close: client.Close}
	return f.opened, nil
}

// drop gives up a client that did not get through to the API server, so that the
// next invocation looks at everything again: at once, where the client itself would
// wait longer from failure to failure, in time that passes only while the function
// runs; and over new connections, should the old ones have died while it was
// frozen.
func (f *function) drop(o *opened) {
	f.turn <- struct{}{}
	if f.opened == o {
		f.opened = nil
	}
	<-f.turn
	o.close()
}
