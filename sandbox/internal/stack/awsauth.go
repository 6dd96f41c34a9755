package stack

import (
	"context"
	"fmt"
	"io"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// awsAuthWatch keeps ekskey-server's file equal to kube-system/aws-auth, so
// that editing the ConfigMap has the effect it has in EKS.
type awsAuthWatch struct {
	end  chan struct{}
	done sync.WaitGroup
}

func watchAWSAuth(ctx context.Context, client kubernetes.Interface, file string, out io.Writer) (*awsAuthWatch, error) {
	source := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", seed.AWSAuthNamespace,
		fields.OneTermEqualSelector(metav1.ObjectNameField, seed.AWSAuthName))
	write := func(obj any) {
		var data map[string]string // a deleted aws-auth maps nobody
		if cm, ok := obj.(*corev1.ConfigMap); ok {
			data = cm.Data
		}
		if err := writeAWSAuth(file, data); err != nil {
			fmt.Fprintln(out, "warning:", err)
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source, ObjectType: &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    write,
			UpdateFunc: func(_, updated any) { write(updated) },
			DeleteFunc: func(any) { write(nil) },
		},
	})
	w := &awsAuthWatch{end: make(chan struct{})}
	w.done.Go(func() { informer.Run(w.end) })
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		w.stop()
		return nil, fmt.Errorf("watching aws-auth: %w", context.Cause(ctx))
	}
	return w, nil
}

func (w *awsAuthWatch) stop() {
	close(w.end)
	w.done.Wait()
}

// writeAWSAuth writes the manifest that `kubectl get cm aws-auth -o yaml` would
// give, less what the API server adds.
func writeAWSAuth(file string, data map[string]string) error {
	manifest, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]string{"name": seed.AWSAuthName, "namespace": seed.AWSAuthNamespace},
		"data":     data,
	})
	if err != nil {
		return fmt.Errorf("encoding aws-auth: %w", err)
	}
	return state.WriteFile(file, manifest)
}

// kubernetes is a client with the administrator's certificate, and the API
// server's release.
func (s *Stack) kubernetes() (*kubernetes.Clientset, string, error) {
	admin := s.plane.Admin()
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: s.plane.URL(), QPS: -1, // seeding makes some ninety calls
		TLSClientConfig: rest.TLSClientConfig{CAData: s.plane.CA(), CertData: admin.Cert, KeyData: admin.Key},
	})
	if err != nil {
		return nil, "", fmt.Errorf("making a Kubernetes client: %w", err)
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return nil, "", fmt.Errorf("getting the version of the API server: %w", err)
	}
	return client, version.GitVersion, nil
}
