//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func deploy(name ...string) string {
	return filepath.Join(append([]string{maker.Source, "..", "deploy"}, name...)...)
}

// serverOnce compiles ekskey-server, and helmOnce Helm from its module.
var (
	serverOnce = sync.OnceValues(func() (string, error) { return compile("..", "./cmd/ekskey-server", "ekskey-server") })
	helmOnce   = sync.OnceValues(func() (string, error) {
		return compile(filepath.Join("..", "interop", "helm"), "helm.sh/helm/v4/cmd/helm", "helm")
	})
)

func compile(module, pkg, name string) (string, error) {
	path := filepath.Join(scratch, name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir, cmd.Stderr = filepath.Join(maker.Source, module), os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return path, cmd.Run()
}

// TestSystemdUnits has systemd look at each unit, with the program where it is.
func TestSystemdUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip(err)
	}
	server, err := serverOnce()
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]string{"ekskey-agent.service": client(t), "ekskey-server.service": server} {
		unit, err := os.ReadFile(deploy("systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(unit), "ExecStart=/usr/bin/"+filepath.Base(program)+" ", "ExecStart="+program+" ")
		if text == string(unit) {
			t.Fatalf("%s starts something else", name)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if o := command(t, os.Environ(), analyze, "verify", path); o.code != 0 || o.stdout+o.stderr != "" {
			t.Errorf("%d %s%s", o.code, o.stdout, o.stderr)
		}
	}
}

// dryApply gives a manifest to the API server, which is to say what it thinks of it, and not
// to keep it.
func dryApply(t *testing.T, env []string, manifest []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	out := mustRun(t, env, kubectl, "apply", "--server-side", "--dry-run=server", "--validate=strict", "--namespace", "kube-system", "--filename", path)
	if !strings.Contains(out, "serverside-applied (server dry run)") {
		t.Error(out)
	}
}

// secured checks what every pod of ours promises: no root, no capability, nothing that it
// can write but what it must, and no token of a service account.
func secured(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod's security context is %v", s)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("the pod gets a token")
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || len(s.Capabilities.Add) != 0 {
			t.Errorf("the container's security context is %v", s)
		}
		if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Port.IntValue() != 21363 || c.ReadinessProbe.HTTPGet.Port.IntValue() != 21363 {
			t.Errorf("the probes are %v and %v", c.LivenessProbe, c.ReadinessProbe)
		}
		if c.Resources.Limits.Memory().IsZero() {
			t.Error("the container has no limit of memory")
		}
	}
}

// initialized runs init with a configuration of a manifest, in another directory.
func initialized(t *testing.T, config string) outcome {
	t.Helper()
	server, err := serverOnce()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	state, kubeconfig := filepath.Join(dir, "state"), filepath.Join(dir, "kubeconfig")
	if err := os.Mkdir(kubeconfig, 0o700); err != nil {
		t.Fatal(err)
	}
	config = strings.NewReplacer("/var/lib/ekskey-server", state, "/etc/kubernetes/ekskey-server", kubeconfig).Replace(config)
	path := filepath.Join(dir, "server.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	o := command(t, os.Environ(), server, "init", "--config", path)
	if _, err := os.Stat(filepath.Join(kubeconfig, "kubeconfig.yaml")); (o.code == 0) != (err == nil) {
		t.Errorf("init ended with %d, and the kubeconfig: %v", o.code, err)
	}
	return o
}

// TestStaticPod has the API server look at the static pod, and ekskey-server at its
// configuration.
func TestStaticPod(t *testing.T) {
	env := append(shared.env(t, "admin"), "KUBECONFIG="+shared.Layout().AdminKubeconfig())
	text, err := os.ReadFile(deploy("server", "static-pod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dryApply(t, env, text)
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(text, &pod); err != nil {
		t.Fatal(err)
	}
	secured(t, pod.Spec)
	config, err := os.ReadFile(deploy("server", "server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if o := initialized(t, string(config)); o.code != 0 {
		t.Error(o.stderr)
	}
}

// TestChart lints and renders the Helm chart, has the API server look at what comes out,
// and ekskey-server at the configuration in it.
func TestChart(t *testing.T) {
	env := append(shared.env(t, "admin"), "KUBECONFIG="+shared.Layout().AdminKubeconfig())
	helm, err := helmOnce()
	if err != nil {
		t.Fatal(err)
	}
	chart := deploy("helm", "ekskey-server")
	mapping := []string{"--set", `server.mapRoles[0].rolearn=arn:aws:iam::111122223333:role/x`, "--set", "server.mapRoles[0].username=x"}
	daemon := append([]string{"--set", "clusterID=demo"}, mapping...)
	deployment := append([]string{
		"--set", "clusterID=demo,kind=Deployment,deployment.tlsSecret=tls,deployment.clientCASecret=ca",
		"--set", "deployment.networkPolicy.controlPlaneCIDRs={10.0.0.0/24,fd00::/64}",
		"--set", "rbacRules[0].apiGroups={},rbacRules[0].resources={configmaps},rbacRules[0].verbs={get}",
	}, mapping...)
	for name, values := range map[string][]string{"DaemonSet": daemon, "Deployment": deployment} {
		t.Run(name, func(t *testing.T) {
			mustRun(t, env, helm, append([]string{"lint", "--strict", chart}, values...)...)
			out := []byte(mustRun(t, env, helm, append([]string{"template", "ekskey", chart, "--namespace", "kube-system"}, values...)...))
			dryApply(t, env, out)
			kinds := map[string]int{}
			for _, text := range bytes.Split(out, []byte("\n---\n")) {
				var kind metav1.TypeMeta
				if err := yaml.Unmarshal(text, &kind); err != nil {
					t.Fatal(err)
				}
				kinds[kind.Kind]++
				switch kind.Kind {
				case name:
					var workload struct {
						Spec struct{ Template corev1.PodTemplateSpec }
					}
					if err := yaml.Unmarshal(text, &workload); err != nil {
						t.Fatal(err)
					}
					pod := workload.Spec.Template.Spec
					if name == "Deployment" { // it has rules, so it needs the token
						if pod.HostNetwork || !*pod.AutomountServiceAccountToken {
							t.Errorf("host network %t, token %v", pod.HostNetwork, pod.AutomountServiceAccountToken)
						}
						*pod.AutomountServiceAccountToken = false
					} else if !pod.HostNetwork || pod.Containers[0].ReadinessProbe.HTTPGet.Host != "127.0.0.1" {
						t.Errorf("the pod is not on loopback: %v", pod.Containers[0].ReadinessProbe)
					}
					secured(t, pod)
				case "ConfigMap":
					var config corev1.ConfigMap
					if err := yaml.Unmarshal(text, &config); err != nil {
						t.Fatal(err)
					}
					o := initialized(t, config.Data["server.yaml"])
					if name == "DaemonSet" && o.code != 0 || name == "Deployment" && !strings.Contains(o.stderr, "server.generateKubeconfig is missing") {
						t.Errorf("%d %s", o.code, o.stderr)
					}
				}
			}
			want := map[string]int{"ServiceAccount": 1, "ConfigMap": 1, name: 1}
			if name == "Deployment" {
				for _, kind := range []string{"Service", "PodDisruptionBudget", "NetworkPolicy", "ClusterRole", "ClusterRoleBinding"} {
					want[kind] = 1
				}
			}
			for kind, n := range kinds {
				if kind != "" && n != want[kind] {
					t.Errorf("%d objects of kind %s, want %d", n, kind, want[kind])
				}
			}
			for kind := range want {
				if kinds[kind] == 0 {
					t.Errorf("there is no %s", kind)
				}
			}
		})
	}
	for _, bad := range [][]string{
		nil, {"--set", "clusterID=x,kind=Pod"}, {"--set", "clusterID=x,kind=Deployment"}, {"--set", "clusterID=x,knd=y"},
		{"--set", "clusterID=x,server.clientCAFile=/x"}, {"--set", "clusterID=x,server.ADDRESS=0.0.0.0"},
	} {
		if o := command(t, env, helm, append([]string{"template", "ekskey", chart}, bad...)...); o.code == 0 {
			t.Errorf("%q is rendered", bad)
		}
	}
}
