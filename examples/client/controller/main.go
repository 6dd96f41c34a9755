// Command controller runs a controller of controller-runtime against a cluster it
// does not run in, for as long as it is left to: it tells of each pod that it sees.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/ekskey/ekskey/kubeclient"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctrl.SetLogger(zap.New())
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	eks, err := kubeclient.New(ctx, kubeclient.Config{
		Cluster: os.Getenv("CLUSTER"),
		Region:  os.Getenv("CLUSTER_REGION"),
	})
	if err != nil {
		return err
	}
	defer eks.Close()

	manager, err := ctrl.NewManager(eks.RESTConfig(), ctrl.Options{
		Metrics: server.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(manager).For(&corev1.Pod{}).Complete(&teller{manager.GetClient()})
	if err != nil {
		return err
	}
	return manager.Start(ctx)
}

// teller tells of pods.
type teller struct{ client.Client }

// Reconcile tells of one.
func (t *teller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var pod corev1.Pod
	if err := t.Get(ctx, req.NamespacedName, &pod); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	fmt.Printf("saw pod %s in namespace %s\n", pod.Name, pod.Namespace)
	return reconcile.Result{}, nil
}
