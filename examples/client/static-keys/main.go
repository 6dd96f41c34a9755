// Command static-keys connects to a cluster with keys at hand, at an endpoint that
// is known. It makes no call to AWS.
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/ekskey/ekskey/kubeclient"
	"github.com/ekskey/ekskey/token"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	ca, err := base64.StdEncoding.DecodeString(os.Getenv("CLUSTER_CA"))
	if err != nil {
		return fmt.Errorf("reading CLUSTER_CA: %w", err)
	}
	client, err := kubeclient.New(ctx, kubeclient.Config{
		Cluster:     os.Getenv("CLUSTER"),
		Region:      os.Getenv("CLUSTER_REGION"),
		Credentials: token.StaticKeys(os.Getenv("KEY_ID"), os.Getenv("SECRET_KEY"), ""),
		Endpoint:    os.Getenv("CLUSTER_ENDPOINT"),
		CAData:      ca,
	})
	if err != nil {
		return err
	}
	defer client.Close()

	clientset, err := kubernetes.NewForConfig(client.RESTConfig())
	if err != nil {
		return err
	}
	version, err := clientset.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	fmt.Println("connected to Kubernetes", version.GitVersion)
	return nil
}
