// Package authconfigmap follows the ConfigMap kube-system/aws-auth of a cluster, for the
// backend aws-auth of ekskey-server.
//
// Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
package authconfigmap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// The ConfigMap.
const (
	Namespace = "kube-system"
	Name      = "aws-auth"
)

const (
	// watchFor is how long one watch lasts; then the ConfigMap is listed again, in case an
	// event was missed.
	watchFor = 5 * time.Minute
	// listTimeout bounds a list.
	listTimeout = 10 * time.Second
	// firstRetry and lastRetry bound the wait after a failure.
	firstRetry, lastRetry = 200 * time.Millisecond, 5 * time.Second
)

// Target is told what the ConfigMap says; *mapping.AWSAuth is one. Errors are about the
// text, and the target's own affair.
type Target interface {
	Use(data map[string]string) error
	Delete() error
	// Fail is told why the ConfigMap cannot be read now.
	Fail(error)
}

// Follower follows the ConfigMap. Run and Once are for one goroutine.
type Follower struct {
	maps   corev1client.ConfigMapInterface
	target Target
}

// New makes a Follower. An empty kubeconfig means the pod's service account, and master,
// unless it is empty, is the API server's URL in place of the kubeconfig's. It makes no
// request.
func New(kubeconfig, master string, target Target) (*Follower, error) {
	config, err := clientcmd.BuildConfigFromFlags(master, kubeconfig)
	if kubeconfig == "" && master == "" {
		config, err = rest.InClusterConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("configuring the client of the Kubernetes API: %w", err)
	}
	config.UserAgent = "ekskey-server"
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("configuring the client of the Kubernetes API: %w", err)
	}
	return &Follower{maps: client.ConfigMaps(Namespace), target: target}, nil
}

// Run follows the ConfigMap until the context ends.
func (f *Follower) Run(ctx context.Context) {
	wait := firstRetry
	for ctx.Err() == nil {
		version, err := f.list(ctx)
		if err == nil {
			wait = firstRetry
			err = f.watch(ctx, version)
		}
		if err == nil {
			continue // the watch has ended as it should
		}
		if ctx.Err() != nil {
			return
		}
		f.target.Fail(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)): // #nosec G404 -- no secret
		}
		wait = min(wait*2, lastRetry)
	}
}

// Once reads the ConfigMap.
func (f *Follower) Once(ctx context.Context) error {
	_, err := f.list(ctx)
	if err != nil {
		f.target.Fail(err)
	}
	return err
}

var selector = "metadata.name=" + Name

// list reads the ConfigMap and returns the version to watch from.
func (f *Follower) list(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	list, err := f.maps.List(ctx, metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		return "", fmt.Errorf("listing the ConfigMap %s/%s: %w", Namespace, Name, err)
	}
	if len(list.Items) == 0 {
		_ = f.target.Delete()
	} else {
		_ = f.target.Use(dataOf(&list.Items[0]))
	}
	return list.ResourceVersion, nil
}

// watch takes events until the watch ends. Whatever ends it, the ConfigMap is listed again.
func (f *Follower) watch(ctx context.Context, version string) error {
	seconds := int64(watchFor / time.Second)
	w, err := f.maps.Watch(ctx, metav1.ListOptions{FieldSelector: selector, ResourceVersion: version, TimeoutSeconds: &seconds, AllowWatchBookmarks: true})
	if err != nil {
		return fmt.Errorf("watching the ConfigMap %s/%s: %w", Namespace, Name, err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-w.ResultChan():
			if !ok {
				return nil
			}
			switch event.Type {
			case watch.Added, watch.Modified:
				if m, ok := event.Object.(*corev1.ConfigMap); ok && m.Name == Name {
					_ = f.target.Use(dataOf(m))
				}
			case watch.Deleted:
				_ = f.target.Delete()
			case watch.Error: // the version is too old, for example
				return nil
			}
		}
	}
}

// dataOf is never nil: a ConfigMap without data is not one that does not exist.
func dataOf(m *corev1.ConfigMap) map[string]string {
	if m.Data == nil {
		return map[string]string{}
	}
	return m.Data
}
