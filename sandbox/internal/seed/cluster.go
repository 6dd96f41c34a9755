package seed

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

// AWSAuthNamespace and AWSAuthName say where EKS keeps its mapping.
const (
	AWSAuthNamespace = metav1.NamespaceSystem
	AWSAuthName      = "aws-auth"
)

// Kubernetes waits for the controller of aggregated roles and makes the objects: aws-auth, the bindings of its groups, and the
// nodes, namespaces, services and pods of a small shop. No kubelet runs: nodes
// and pods only say that they are well.
func Kubernetes(ctx context.Context, client kubernetes.Interface, version string, now time.Time) error {
	s := seeder{ctx: ctx, client: client, now: metav1.NewTime(now.Add(-48 * time.Hour))}
	s.access()
	for _, n := range namespaces {
		s.namespace(n)
	}
	for i := range nodes {
		s.node(nodes[i], version)
	}
	for _, svc := range services {
		s.service(svc)
	}
	for _, w := range workloads {
		for i := range w.replicas {
			s.pod(w, i)
		}
	}
	return s.err
}

// seeder stops at the first error.
type seeder struct {
	ctx    context.Context
	client kubernetes.Interface
	now    metav1.Time
	pods   int
	err    error
}

// do makes one object unless an error came before. What the API server makes
// by itself at its start may be there already.
func (s *seeder) do(what string, create func() error) {
	if s.err != nil {
		return
	}
	if err := create(); err != nil && !apierrors.IsAlreadyExists(err) {
		s.err = fmt.Errorf("making %s: %w", what, err)
	}
}

func (s *seeder) access() {
	s.do("aws-auth", func() error {
		_, err := s.client.CoreV1().ConfigMaps(AWSAuthNamespace).Create(s.ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: AWSAuthName}, Data: AWSAuth(),
		}, metav1.CreateOptions{})
		return err
	})
	for _, role := range []string{"view", "edit", "admin"} {
		s.aggregated(role)
	}
	for group, role := range map[string]string{"platform-admins": "cluster-admin", "viewers": "view"} {
		s.do("the binding of "+group, func() error {
			_, err := s.client.RbacV1().ClusterRoleBindings().Create(s.ctx, &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: group},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
			}, metav1.CreateOptions{})
			return err
		})
	}
}

// aggregated waits until the controller has filled a role from others.
func (s *seeder) aggregated(name string) {
	s.do("cluster role "+name, func() error {
		for {
			role, err := s.client.RbacV1().ClusterRoles().Get(s.ctx, name, metav1.GetOptions{})
			if err != nil || len(role.Rules) > 0 {
				return err
			}
			select {
			case <-s.ctx.Done():
				return context.Cause(s.ctx)
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

func (s *seeder) namespace(name string) {
	s.do("namespace "+name, func() error {
		_, err := s.client.CoreV1().Namespaces().Create(s.ctx, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name},
		}, metav1.CreateOptions{})
		return err
	})
	s.do("the service account of "+name, func() error {
		_, err := s.client.CoreV1().ServiceAccounts(name).Create(s.ctx, &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Name: "default"},
		}, metav1.CreateOptions{})
		return err
	})
	if name != shop {
		return
	}
	s.do("the binding of developers", func() error {
		_, err := s.client.RbacV1().RoleBindings(name).Create(s.ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "developers"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "developers"}},
		}, metav1.CreateOptions{})
		return err
	})
}

func (s *seeder) node(n node, version string) {
	s.do("node "+n.name, func() error {
		made, err := s.client.CoreV1().Nodes().Create(s.ctx, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{
				corev1.LabelHostname:           n.name,
				corev1.LabelOSStable:           "linux",
				corev1.LabelArchStable:         "amd64",
				corev1.LabelInstanceTypeStable: "m7i.large",
				corev1.LabelTopologyRegion:     Region,
				corev1.LabelTopologyZone:       n.zone,
				"eks.amazonaws.com/nodegroup":  "default",
			}},
			Spec: corev1.NodeSpec{ProviderID: "aws:///" + n.zone + "/" + n.instance},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		// The API server marks a new node as not ready; its kubelet would say
		// otherwise.
		made.Spec.Taints = nil
		if made, err = s.client.CoreV1().Nodes().Update(s.ctx, made, metav1.UpdateOptions{}); err != nil {
			return err
		}
		room := corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("8Gi"),
			corev1.ResourcePods: resource.MustParse("29"),
		}
		made.Status = corev1.NodeStatus{
			Capacity: room, Allocatable: room,
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
				Message: "the sandbox runs no kubelet", LastHeartbeatTime: s.now, LastTransitionTime: s.now,
			}},
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: n.ip}, {Type: corev1.NodeInternalDNS, Address: n.name},
			},
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion: version, OSImage: "none (sandbox)", OperatingSystem: "linux", Architecture: "amd64",
				ContainerRuntimeVersion: "none://0", KernelVersion: "none",
			},
		}
		_, err = s.client.CoreV1().Nodes().UpdateStatus(s.ctx, made, metav1.UpdateOptions{})
		return err
	})
}

func (s *seeder) service(svc service) {
	s.do("service "+svc.name, func() error {
		spec := corev1.ServiceSpec{Selector: map[string]string{"app": svc.app}, ClusterIP: svc.ip}
		for _, p := range svc.ports {
			spec.Ports = append(spec.Ports, corev1.ServicePort{
				Name: p.name, Protocol: p.protocol, Port: p.number, TargetPort: intstr.FromInt32(p.number),
			})
		}
		_, err := s.client.CoreV1().Services(svc.namespace).Create(s.ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: svc.name}, Spec: spec,
		}, metav1.CreateOptions{})
		return err
	})
}

func (s *seeder) pod(w workload, i int) {
	name := w.podName(i)
	s.do("pod "+name, func() error {
		on := nodes[s.pods%len(nodes)]
		made, err := s.client.CoreV1().Pods(w.namespace).Create(s.ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": w.app}},
			Spec: corev1.PodSpec{
				NodeName:   on.name,
				Containers: []corev1.Container{{Name: w.app, Image: w.image}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		ready := corev1.ConditionTrue
		made.Status = corev1.PodStatus{
			Phase: corev1.PodRunning, HostIP: on.ip, HostIPs: []corev1.HostIP{{IP: on.ip}},
			StartTime: &s.now,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: ready, LastTransitionTime: s.now},
				{Type: corev1.PodInitialized, Status: ready, LastTransitionTime: s.now},
				{Type: corev1.ContainersReady, Status: ready, LastTransitionTime: s.now},
				{Type: corev1.PodReady, Status: ready, LastTransitionTime: s.now},
			},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: w.app, Image: w.image, Ready: true,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: s.now}},
			}},
		}
		made.Status.PodIP = fmt.Sprintf("10.0.%d.%d", 1+s.pods%len(nodes), 100+s.pods)
		made.Status.PodIPs = []corev1.PodIP{{IP: made.Status.PodIP}}
		s.pods++
		_, err = s.client.CoreV1().Pods(w.namespace).UpdateStatus(s.ctx, made, metav1.UpdateOptions{})
		return err
	})
}
