// Command role-chain connects to a cluster of another account: from the
// credentials of the environment over one role to the next, which wants an
// external id.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/ekskey/ekskey/kubeclient"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := run(ctx)
	var refused *kubeclient.RoleRefusedError
	if errors.As(err, &refused) {
		log.Fatalf("ask for the role: %v", refused)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := kubeclient.New(ctx, kubeclient.Config{
		Cluster: os.Getenv("CLUSTER"),
		Region:  os.Getenv("CLUSTER_REGION"),
		Roles: []kubeclient.Role{
			{ARN: os.Getenv("FIRST_ROLE")},
			{ARN: os.Getenv("SECOND_ROLE"), ExternalID: os.Getenv("EXTERNAL_ID"), SessionName: "role-chain"},
		},
	})
	if err != nil {
		return err
	}
	defer client.Close()

	clientset, err := kubernetes.NewForConfig(client.RESTConfig())
	if err != nil {
		return err
	}
	namespaces, err := clientset.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, namespace := range namespaces.Items {
		fmt.Println(namespace.Name)
	}
	return nil
}
