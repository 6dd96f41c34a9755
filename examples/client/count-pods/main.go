// Command count-pods counts the pods of a cluster, a page at a time, and looks for
// one by its name.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/pager"

	"github.com/ekskey/ekskey/kubeclient"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Getenv("POD_NAMESPACE"), os.Getenv("POD")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, namespace, name string) error {
	client, err := kubeclient.New(ctx, kubeclient.Config{
		Cluster: os.Getenv("CLUSTER"),
		Region:  os.Getenv("CLUSTER_REGION"),
	})
	if err != nil {
		return err
	}
	defer client.Close()
	clientset, err := kubernetes.NewForConfig(client.RESTConfig())
	if err != nil {
		return err
	}

	count := 0
	pods := pager.New(func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		return clientset.CoreV1().Pods(corev1.NamespaceAll).List(ctx, opts)
	})
	err = pods.EachListItem(ctx, metav1.ListOptions{}, func(runtime.Object) error {
		count++
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("There are %d pods in the cluster\n", count)

	pod, err := clientset.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		fmt.Printf("Pod %s in namespace %s not found\n", name, namespace)
	case err != nil:
		return err
	default:
		fmt.Printf("Found pod %s in namespace %s, on %s\n", pod.Name, pod.Namespace, pod.Spec.NodeName)
	}
	return nil
}
