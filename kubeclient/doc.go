// Package kubeclient gives Go programs a *rest.Config for an Amazon EKS cluster
// that keeps working: its tokens renew themselves, and so does what it knows of
// the cluster.
//
//	client, err := kubeclient.New(ctx, kubeclient.Config{Cluster: "prod", Region: "eu-central-1"})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	clientset, err := kubernetes.NewForConfig(client.RESTConfig())
//
// Tokens are renewed in the background ahead of their end, and at once when the
// API server answers 401; the request is then sent again, and its caller sees
// nothing of it. Watches and other long requests go on: a renewal touches no
// connection. Where the API server can no longer be reached, or shows a
// certificate of another authority, EKS is asked again where the cluster is.
//
// docs/client-go.md shows how to use it.
package kubeclient
