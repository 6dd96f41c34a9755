package seed

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/internal/mapping"
)

func TestShopHasThirtyOnePods(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	seen := map[string]bool{}
	for _, w := range workloads {
		for i := range w.replicas {
			pod := w.podName(i)
			if !name.MatchString(pod) || len(pod) > 63 {
				t.Errorf("%q is no name for a pod", pod)
			}
			if pod != w.podName(i) {
				t.Errorf("%q is another each time", pod)
			}
			if seen[w.namespace+"/"+pod] {
				t.Errorf("%s/%s twice", w.namespace, pod)
			}
			seen[w.namespace+"/"+pod] = true
		}
	}
	if len(seen) != Pods {
		t.Errorf("%d pods, want %d", len(seen), Pods)
	}
}

func TestAWSAuthIsAsEKSWouldTakeIt(t *testing.T) {
	text, err := yaml.Marshal(AWSAuth())
	if err != nil {
		t.Fatal(err)
	}
	set, err := mapping.ParseAWSAuth(text, mapping.Options{Partition: "aws", Dialect: mapping.EKS})
	if err != nil {
		t.Fatal(err)
	}
	lockouts := 0
	for _, p := range set.Problems() {
		switch {
		case strings.Contains(p.Error(), AuditorARN) && strings.Contains(p.Error(), "has a path"):
			lockouts++
		// The nodes' names need EC2, which nobody here asks.
		case !strings.Contains(p.Error(), "EC2PrivateDNSName"):
			t.Error(p)
		}
	}
	if lockouts != 1 {
		t.Errorf("%d roles are locked out by their paths, want the auditors'", lockouts)
	}
	for _, text := range AWSAuth() {
		if strings.Contains(text, "creator") || strings.Contains(text, "stranger") {
			t.Errorf("aws-auth names somebody it must not:\n%s", text)
		}
	}
}

func TestPeopleAndTheirFiles(t *testing.T) {
	aws := fakeaws.New(fakeaws.Config{})
	people, err := People(aws)
	if err != nil {
		t.Fatal(err)
	}
	config, credentials := AWSFiles(people)
	for _, p := range people {
		if !strings.Contains(string(config), "[profile "+p.Name+"]") {
			t.Errorf("no profile %s", p.Name)
		}
		hasKeys := strings.Contains(string(credentials), "["+p.Name+"]")
		if hasKeys != (p.RoleARN == "") || hasKeys != (p.SecretAccessKey != "") {
			t.Errorf("%s: keys %v, role %q", p.Name, hasKeys, p.RoleARN)
		}
		if p.SecretAccessKey != "" && strings.Contains(string(config), p.SecretAccessKey) {
			t.Errorf("the secret of %s is in the wrong file", p.Name)
		}
	}
	if err := EKS(aws, "https://127.0.0.1:1", []byte("PEM"), "1.36", "", time.Now()); err != nil {
		t.Error(err)
	}
	// A second sandbox has other keys.
	again, err := People(fakeaws.New(fakeaws.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	if again[0].SecretAccessKey == people[0].SecretAccessKey {
		t.Error("two sandboxes share a secret")
	}
}
