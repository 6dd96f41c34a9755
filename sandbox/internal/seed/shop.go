package seed

import (
	"fmt"
	"hash/fnv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pods is how many pods a new sandbox has, in all namespaces.
const Pods = 31

const (
	shop       = "shop"
	monitoring = "monitoring"
)

var namespaces = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, shop, monitoring}

type node struct{ name, ip, zone, instance string }

var nodes = []node{
	{"ip-10-0-1-11.ec2.internal", "10.0.1.11", "us-east-1a", "i-0a1b2c3d4e5f60001"},
	{"ip-10-0-2-12.ec2.internal", "10.0.2.12", "us-east-1b", "i-0a1b2c3d4e5f60002"},
	{"ip-10-0-3-13.ec2.internal", "10.0.3.13", "us-east-1c", "i-0a1b2c3d4e5f60003"},
}

type port struct {
	name     string
	protocol corev1.Protocol
	number   int32
}

type service struct {
	namespace, name, app, ip string
	ports                    []port
}

var services = []service{
	{metav1.NamespaceSystem, "kube-dns", "coredns", "10.100.0.10", []port{{"dns", corev1.ProtocolUDP, 53}, {"dns-tcp", corev1.ProtocolTCP, 53}}},
	{metav1.NamespaceSystem, "metrics-server", "metrics-server", "", []port{{"https", corev1.ProtocolTCP, 443}}},
	{metav1.NamespaceDefault, "hello", "hello", "", []port{{"http", corev1.ProtocolTCP, 80}}},
	{shop, "web", "web", "", []port{{"http", corev1.ProtocolTCP, 80}}},
	{shop, "api", "api", "", []port{{"http", corev1.ProtocolTCP, 8080}}},
	{shop, "db", "db", "", []port{{"postgres", corev1.ProtocolTCP, 5432}}},
	{monitoring, "prometheus", "prometheus", "", []port{{"http", corev1.ProtocolTCP, 9090}}},
	{monitoring, "grafana", "grafana", "", []port{{"http", corev1.ProtocolTCP, 3000}}},
}

type workload struct {
	namespace, app, image string
	replicas              int
	// kind decides what the pods' names look like.
	kind string
}

var workloads = []workload{
	{metav1.NamespaceSystem, "coredns", "coredns:v1.12", 2, "Deployment"},
	{metav1.NamespaceSystem, "aws-node", "amazon-k8s-cni:v1.20", 3, "DaemonSet"},
	{metav1.NamespaceSystem, "kube-proxy", "kube-proxy:v1.36", 3, "DaemonSet"},
	{metav1.NamespaceSystem, "metrics-server", "metrics-server:v0.8", 1, "Deployment"},
	{metav1.NamespaceDefault, "hello", "hello:1", 1, "Deployment"},
	{shop, "web", "shop-web:42", 6, "Deployment"},
	{shop, "api", "shop-api:42", 5, "Deployment"},
	{shop, "worker", "shop-worker:42", 4, "Deployment"},
	{shop, "db", "postgres:18", 1, "StatefulSet"},
	{monitoring, "prometheus", "prometheus:v3", 1, "StatefulSet"},
	{monitoring, "grafana", "grafana:12", 1, "Deployment"},
	{monitoring, "node-exporter", "node-exporter:v1", 3, "DaemonSet"},
}

// podName is as its controller would make it, but the same in every sandbox.
func (w workload) podName(i int) string {
	// What Kubernetes makes such suffixes of: no vowels, so no words.
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	suffix := func(n int, of string) string {
		h := fnv.New64a()
		h.Write([]byte(of))
		b, sum := make([]byte, n), h.Sum64()
		for i := range b {
			b[i], sum = letters[sum%uint64(len(letters))], sum/uint64(len(letters))
		}
		return string(b)
	}
	switch each := fmt.Sprintf("%s/%s/%d", w.namespace, w.app, i); w.kind {
	case "Deployment":
		return w.app + "-" + suffix(10, w.namespace+"/"+w.app) + "-" + suffix(5, each)
	case "DaemonSet":
		return w.app + "-" + suffix(5, each)
	default:
		return fmt.Sprintf("%s-%d", w.app, i)
	}
}
