// Package kubeclient provides a long-lived *rest.Config for an Amazon EKS cluster: it
// renews its tokens, and rediscovers the cluster's endpoint and CA.
//
//	client, err := kubeclient.New(ctx, kubeclient.Config{Cluster: "prod", Region: "eu-central-1"})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	clientset, err := kubernetes.NewForConfig(client.RESTConfig())
//
// Tokens are renewed in the background before they expire, and at once when the API
// server answers 401; the request is then sent again, and its caller does not notice.
// Watches and other long requests continue: a renewal closes no connection. If the API
// server cannot be reached, or its certificate is from another CA, the cluster is
// described again.
//
// See docs/client-go.md.
package kubeclient
