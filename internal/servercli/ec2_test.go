package servercli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// TestPrivateDNSNames lets a node in by the name of its instance, as a role that the server
// assumes, and nobody who only says that they are an instance.
func TestPrivateDNSNames(t *testing.T) {
	for name, lines := range map[string]string{
		"aws-iam-authenticator's keys": "  ec2DescribeInstancesRoleARN: arn:aws:iam::111122223333:role/describe\n  ec2DescribeInstancesQps: 100\n  ec2DescribeInstancesBurst: 10\n  sourceARN: arn:aws:eks:us-east-1:111122223333:cluster/demo\n",
		"server.ec2":                   "  ec2: {region: us-east-1}\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			text, err := os.ReadFile(f.config)
			if err != nil {
				t.Fatal(err)
			}
			f.write(t, "server.yaml", string(text)+lines)
			f.write(t, "aws-auth.yaml", `mapRoles: |
  - {rolearn: "arn:aws:iam::111122223333:role/node", username: "system:node:{{EC2PrivateDNSName}}", groups: ["system:nodes"]}
`)
			const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}`
			for _, role := range []string{"node", "other", "describe"} {
				if _, err := f.aws.AddRole(fakeaws.Role{Account: "111122223333", Name: role, TrustPolicy: trust}); err != nil {
					t.Fatal(err)
				}
				if _, err := f.aws.AddInstanceProfile(fakeaws.InstanceProfile{Account: "111122223333", Name: role, RoleARN: "arn:aws:iam::111122223333:role/" + role}); err != nil {
					t.Fatal(err)
				}
			}
			sessions := map[string]fakeaws.Key{}
			for id, i := range map[string]fakeaws.Instance{
				"i-0123456789abcdef0": {PrivateDNSName: "ip-10-0-0-5.ec2.internal", ProfileARN: "arn:aws:iam::111122223333:instance-profile/node"},
				"i-0123456789abcdef1": {PrivateDNSName: "ip-10-0-0-6.ec2.internal", ProfileARN: "arn:aws:iam::111122223333:instance-profile/other"},
				"i-0123456789abcdef2": {ProfileARN: "arn:aws:iam::111122223333:instance-profile/node"},
				"i-0123456789abcdef3": {},
				"me":                  {},
			} {
				if i.ProfileARN != "" {
					i.Account, i.Region, i.ID = "111122223333", "us-east-1", id
					if err := f.aws.AddInstance(i); err != nil {
						t.Fatal(err)
					}
				}
				if sessions[id], err = f.aws.AddSession(fakeaws.Session{RoleARN: "arn:aws:iam::111122223333:role/node", Name: id}); err != nil {
					t.Fatal(err)
				}
			}
			for name, value := range map[string]string{
				"AWS_ACCESS_KEY_ID": f.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": f.key.SecretAccessKey, "AWS_SESSION_TOKEN": f.key.SessionToken, "AWS_REGION": "us-east-1",
				"AWS_ENDPOINT_URL_EC2": "https://" + f.tls.Address, "AWS_ENDPOINT_URL_IAM": "https://" + f.tls.Address, "AWS_ENDPOINT_URL_STS": "https://" + f.tls.Address,
				"AWS_CA_BUNDLE": filepath.Join(f.dir, "ca.pem"), "HOME": f.dir,
			} {
				t.Setenv(name, value)
			}
			p := f.start(t)
			want := map[string]string{"i-0123456789abcdef0": "system:node:ip-10-0-0-5.ec2.internal", "i-0123456789abcdef1": "system:node:ip-10-0-0-6.ec2.internal"}
			if strings.HasPrefix(name, "server") {
				delete(want, "i-0123456789abcdef1") // another role's instance
			}
			for id, key := range sessions {
				u, ok := p.user(t, key)
				if ok != (want[id] != "") || u.Username != want[id] {
					t.Errorf("%s: %v %+v, want %q", id, ok, u, want[id])
				}
			}
			if t.Failed() {
				t.Log(p.stderr.String())
			}
		})
	}
}
