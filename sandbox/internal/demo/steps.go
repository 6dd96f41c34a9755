package demo

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

const tokenPrefix = "k8s-aws-v1." // #nosec G101 -- what every token begins with

func (s *show) whoami() error {
	s.say("The environment holds the access key of the IAM user admin, and tells every AWS tool to " +
		"call the embedded AWS. That is all the set-up there is.")
	o, err := s.run("ekskey", "whoami")
	if err != nil {
		return err
	}
	if err := o.want(0, arn("user/admin"), seed.Account); err != nil {
		return err
	}
	s.ok("STS verified the signature and named " + arn("user/admin"))
	return nil
}

func (s *show) token() error {
	before := calls(s.cfg.Stack.AWS())
	s.command("TOKEN=$(ekskey token --cluster " + seed.Cluster + " --output token)")
	token, err := s.newToken(seed.Cluster)
	if err != nil {
		return err
	}
	s.result(fmt.Sprintf("%s… (%d bytes; never shown whole, whoever has it is you for 15 minutes)", token[:len(tokenPrefix)+12], len(token)))
	if n := calls(s.cfg.Stack.AWS()) - before; n != 0 {
		return fmt.Errorf("minting called AWS %d times", n)
	}
	s.ok("minted with no call to AWS, nor to anybody")

	s.command(`echo "$TOKEN" | ekskey inspect -`)
	o, err := s.quietly(token, "ekskey", "inspect", "-")
	if err != nil {
		return err
	}
	s.result(o.stdout + o.stderr)
	if err := o.want(0, "sts."+seed.Region+".amazonaws.com"); err != nil {
		return err
	}
	url, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, tokenPrefix))
	if err != nil {
		return fmt.Errorf("decoding the token: %w", err)
	}
	plain, _, _ := strings.Cut(string(url), "&X-Amz-Signature=")
	signature := string(url)[len(plain)+len("&X-Amz-Signature="):]
	if strings.Contains(o.stdout+o.stderr, signature) {
		return errors.New("inspect printed the signature")
	}
	s.ok("it keeps every rule, and its signature was not printed")
	s.say("Behind the prefix is base64url of a signed request that has not been sent:")
	fmt.Fprintln(s.out)
	fmt.Fprintln(s.out, "     "+strings.ReplaceAll(plain, "&", "\n        &"))
	fmt.Fprintln(s.out, "        &X-Amz-Signature=(64 hex digits)")
	s.say("The name of the cluster is not in it. It is in the header x-k8s-aws-id, which is signed: " +
		"whoever sends the request must know it, and can use the token for no other cluster.")
	return nil
}

func (s *show) kubeconfig() error {
	s.asked = s.cfg.Stack.AWS().Counts()[fakeaws.GetCallerIdentity]
	o, err := s.run("ekskey", "kubeconfig", "update", "--name", seed.Cluster, "--alias", seed.Cluster)
	if err != nil {
		return err
	}
	if err := o.want(0, "added"); err != nil {
		return err
	}
	s.hops(
		"EKS: told the cluster's endpoint and its certificate authority (DescribeCluster)",
		"ekskey: wrote a cluster, a user and a context; the user is not a secret but a command to run, ekskey token",
	)
	o, err = s.quietly("", "kubectl", "config", "current-context")
	if err != nil {
		return err
	}
	if err := o.want(0, seed.Cluster); err != nil {
		return err
	}
	s.ok("kubectl reads it, and " + seed.Cluster + " is the current context")
	return nil
}

func (s *show) letIn() error {
	for _, c := range []struct {
		args  []string
		texts []string
	}{
		{[]string{"get", "svc"}, []string{"kubernetes", "10.100.0.1", "hello"}},
		{[]string{"get", "nodes"}, []string{"ip-10-0-1-11.ec2.internal", "ip-10-0-2-12.ec2.internal", "ip-10-0-3-13.ec2.internal", "Ready"}},
		{[]string{"auth", "whoami"}, []string{"admin", "platform-admins", arn("user/admin")}},
	} {
		o, err := s.run("kubectl", c.args...)
		if err != nil {
			return err
		}
		if err := o.want(0, c.texts...); err != nil {
			return err
		}
	}
	// Counted from before the first kubectl: some ask the server for its version
	// whatever they are told to do, and what is asked twice in a second is asked
	// of STS once.
	if s.cfg.Stack.AWS().Counts()[fakeaws.GetCallerIdentity] == s.asked {
		return errors.New("STS was never asked")
	}
	n, err := s.pods()
	if err != nil {
		return err
	}
	if n != seed.Pods {
		return fmt.Errorf("there are %d pods, not %d", n, seed.Pods)
	}
	s.ok("AWS's user admin is Kubernetes' user admin, in the group platform-admins")
	r := s.cfg.Stack.Record()
	s.hops(
		"kubectl: ran ekskey token, as its kubeconfig says, and sent the token as a bearer token",
		"kube-apiserver: asked its webhook, "+r.Server+": whose token is this? (a TokenReview)",
		"ekskey-server: parsed the token, checked it against the rules, rebuilt the request with x-k8s-aws-id: "+seed.Cluster+", and sent it to STS only",
		"STS: verified the signature and answered "+arn("user/admin"),
		"ekskey-server: found that ARN in aws-auth: user admin, group platform-admins",
		"kube-apiserver: asked RBAC: platform-admins is bound to cluster-admin, so yes. It keeps the answer for two minutes",
	)
	return nil
}

func (s *show) readOnly() error {
	o, err := s.run("ekskey", "kubeconfig", "update", "--name", seed.Cluster, "--alias", "readonly", "--role-arn", arn("role/team/viewer"))
	if err != nil {
		return err
	}
	if err := o.want(0, "added"); err != nil {
		return err
	}
	if o, err = s.run("kubectl", "--context", "readonly", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}{'\\n'}"); err != nil {
		return err
	}
	if err := o.want(0, "viewer:"); err != nil {
		return err
	}
	if o, err = s.run("kubectl", "--context", "readonly", "get", "pods", "-n", "shop", "-l", "app=db"); err != nil {
		return err
	}
	if err := o.want(0, "db-0", "Running"); err != nil {
		return err
	}
	if o, err = s.run("kubectl", "--context", "readonly", "delete", "pod", "-n", "shop", "db-0"); err != nil {
		return err
	}
	if err := o.want(1, "Forbidden", `cannot delete resource "pods"`); err != nil {
		return err
	}
	n, err := s.pods()
	if err != nil {
		return err
	}
	if n != seed.Pods {
		return fmt.Errorf("there are %d pods, not %d", n, seed.Pods)
	}
	s.ok(fmt.Sprintf("it reads, it may not delete (403), and all %d pods are still there", n))
	s.hops(
		"ekskey token: assumed the role "+arn("role/team/viewer")+" and signed with its short-lived keys",
		"ekskey-server: learnt a role session; aws-auth names the role without its path, "+arn("role/viewer")+", as EKS needs it: user viewer:{{SessionName}}, group viewers",
		"kube-apiserver: viewers are bound to view, which has get and list, and no delete: 403, known but not allowed",
	)
	if o, err = s.quietly("", "kubectl", "--context", seed.Cluster, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"); err != nil {
		return err
	}
	if err := o.want(0); err != nil || o.stdout != "admin" {
		return fmt.Errorf("the context %s has become %q", seed.Cluster, o.stdout)
	}
	s.ok("the context " + seed.Cluster + " is still admin: each alias has a user of its own")
	return nil
}

func (s *show) unmapped() error {
	if err := s.be("stranger"); err != nil {
		return err
	}
	o, err := s.run("ekskey", "whoami")
	if err != nil {
		return err
	}
	if err := o.want(0, arn("user/stranger")); err != nil {
		return err
	}
	denied := s.denials()
	if o, err = s.run("kubectl", "--context", seed.Cluster, "get", "pods"); err != nil {
		return err
	}
	if err := o.want(1, "You must be logged in to the server"); err != nil {
		return err
	}
	if s.denials() == denied {
		return errors.New("ekskey-server denied nothing")
	}
	s.ok("401: a good AWS identity, and no Kubernetes user")
	s.hops(
		"STS: verified the signature and answered "+arn("user/stranger"),
		"ekskey-server: found that ARN nowhere in aws-auth, and said no",
		"kubectl: ran ekskey token once more, as it does after every 401, and was refused again",
	)
	return nil
}

func (s *show) lockedOut() error {
	o, err := s.run("ekskey", "kubeconfig", "update", "--name", seed.Cluster, "--alias", "audit", "--role-arn", seed.AuditorARN)
	if err != nil {
		return err
	}
	if err := o.want(0, "added"); err != nil {
		return err
	}
	if o, err = s.run("kubectl", "--context", seed.Cluster, "get", "configmap", "aws-auth", "-n", "kube-system", "-o", "jsonpath={.data.mapRoles}"); err != nil {
		return err
	}
	if err := o.want(0, "rolearn: "+seed.AuditorARN); err != nil {
		return err
	}
	if o, err = s.run("kubectl", "--context", "audit", "get", "pods"); err != nil {
		return err
	}
	if err := o.want(1, "You must be logged in to the server"); err != nil {
		return err
	}
	s.ok("401: a role's path in aws-auth is a lockout, in EKS and here")
	s.hops(
		"STS: answered with a session of the role auditor. A session's ARN has no path",
		"ekskey-server: looked for "+arn("role/auditor")+" in aws-auth, which has "+seed.AuditorARN+", and said no",
		"ekskey: access lint finds such entries (role-path). An access entry takes the ARN with its path",
	)
	return nil
}

func (s *show) entry() error {
	if err := s.be("creator"); err != nil {
		return err
	}
	o, err := s.run("kubectl", "--context", seed.Cluster, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}{'\\n'}")
	if err != nil {
		return err
	}
	if err := o.want(0, seed.CreatorARN); err != nil {
		return err
	}
	if strings.Contains(o.stdout, "system:masters") {
		return errors.New("the creator is in system:masters")
	}
	if o, err = s.run("kubectl", "--context", seed.Cluster, "get", "nodes"); err != nil {
		return err
	}
	if err := o.want(0, "ip-10-0-1-11.ec2.internal"); err != nil {
		return err
	}
	if o, err = s.quietly("", "kubectl", "--kubeconfig", s.cfg.Stack.Layout().AdminKubeconfig(), "get", "clusterrolebindings,rolebindings", "-A", "-o", "json"); err != nil {
		return err
	}
	if err := o.want(0, "platform-admins"); err != nil {
		return err
	}
	if strings.Contains(o.stdout, "user/creator") || strings.Contains(o.stdout, "ekskey:") {
		return errors.New("an RBAC binding names the creator")
	}
	s.ok("an administrator whom no RBAC binding names")
	s.hops(
		"EKS: made an access entry for who created the cluster, with AmazonEKSClusterAdminPolicy",
		"ekskey-server: found the entry, before aws-auth: the user is the ARN",
		"kube-apiserver: RBAC did not allow it, so it asked its second webhook: may this user list nodes? (a SubjectAccessReview)",
		"ekskey-server: the policy's published rules allow it",
	)
	return nil
}

func (s *show) grant() error {
	for _, how := range []string{"--dry-run", "--yes"} {
		o, err := s.run("ekskey", "access", "grant", "--cluster", seed.Cluster, "--principal", arn("user/stranger"),
			"--policy", "AmazonEKSViewPolicy", "--namespace", "sh*", how)
		if err != nil {
			return err
		}
		if err := o.want(0, "create an access entry"); err != nil {
			return err
		}
	}
	if err := s.be("stranger"); err != nil {
		return err
	}
	pods := []string{"--context", seed.Cluster, "get", "pods", "-n", "shop", "-l", "app=db"}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		o, err := s.quietly("", "kubectl", pods...)
		if err != nil {
			return err
		}
		if o.code == 0 || time.Now().After(deadline) {
			break
		}
	}
	o, err := s.run("kubectl", pods...)
	if err != nil {
		return err
	}
	if err := o.want(0, "db-0"); err != nil {
		return err
	}
	if o, err = s.run("kubectl", "--context", seed.Cluster, "get", "pods", "-n", "kube-system"); err != nil {
		return err
	}
	if err := o.want(1, "Forbidden"); err != nil {
		return err
	}
	s.ok("in force within seconds, in namespaces named sh… only")
	return nil
}

func (s *show) tampered() error {
	if err := s.be("admin"); err != nil {
		return err
	}
	s.command("TOKEN=$(ekskey token --cluster " + seed.Cluster + " --output token)")
	good, err := s.newToken(seed.Cluster)
	if err != nil {
		return err
	}
	if err := s.expect("TOKEN", good, http.StatusOK, "the token as it was minted is good"); err != nil {
		return err
	}
	bad, err := tamper(good)
	if err != nil {
		return err
	}
	s.say("Now one hex digit of the signature inside is another:")
	denied := s.denials()
	if err := s.expect("TAMPERED", bad, http.StatusUnauthorized, "one digit off, and nobody is let in"); err != nil {
		return err
	}
	if s.denials() == denied {
		return errors.New("ekskey-server denied nothing")
	}
	s.hops(
		"ekskey-server: found nothing wrong offline: it cannot know the secret key, and so cannot check a signature",
		"STS: computed the signature itself, got another, and answered SignatureDoesNotMatch",
	)
	return nil
}

func (s *show) foreign() error {
	s.command("TOKEN=$(ekskey token --cluster staging --output token)")
	token, err := s.newToken("staging")
	if err != nil {
		return err
	}
	if err := s.expect("TOKEN", token, http.StatusUnauthorized, "a token for staging opens nothing in "+seed.Cluster); err != nil {
		return err
	}
	s.hops(
		"ekskey-server: sent the request to STS with its own name in the header, x-k8s-aws-id: "+seed.Cluster,
		"STS: the signature was made over x-k8s-aws-id: staging, so it does not match. A cluster that gets your token cannot use it at another cluster",
	)
	return nil
}

// expect sends a token and holds the answer to a status.
func (s *show) expect(variable, token string, status int, ok string) error {
	got, err := s.asks(variable, token)
	if err != nil {
		return err
	}
	if got != status {
		return fmt.Errorf("the API server answered %d, not %d", got, status)
	}
	s.ok(fmt.Sprintf("%d: %s", status, ok))
	return nil
}

// tamper changes the last digit of the signature in a token.
func tamper(token string) (string, error) {
	url, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, tokenPrefix))
	if err != nil || len(url) == 0 {
		return "", fmt.Errorf("decoding a token just minted: %w", err)
	}
	last := &url[len(url)-1]
	if *last == '0' {
		*last = '1'
	} else {
		*last = '0'
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(url), nil
}

func calls(aws *fakeaws.Server) int {
	n := 0
	for _, c := range aws.Counts() {
		n += c
	}
	return n
}
