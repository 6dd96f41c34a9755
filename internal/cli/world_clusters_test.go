package cli_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// A second account: carol is its user, and its role audit lets the first one in.
const otherAccount = "444455556666"

func (w *world) seedOther() error {
	k, err := w.aws.AddUser(fakeaws.User{Account: otherAccount, Name: "carol"})
	if err != nil {
		return err
	}
	w.keys["carol"] = k
	_, err = w.aws.AddRole(fakeaws.Role{Account: otherAccount, Name: "audit", TrustPolicy: fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole"}]}`, testAccount)})
	return err
}

// cmdCluster is `cluster add ACCOUNT REGION NAME [KEY=VALUE...]`, with these tags
// or another status= or endpoint=, or `cluster remove ACCOUNT REGION NAME`.
func cmdCluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: cluster add|remove ACCOUNT REGION NAME [KEY=VALUE...]")
	}
	w := worldOf(ts)
	if args[0] == "remove" {
		ts.Check(w.aws.RemoveCluster(args[1], args[2], args[3]))
		return
	}
	c := fakeaws.Cluster{
		Account: args[1], Region: args[2], Name: args[3], Endpoint: w.kubeURL,
		CAData: base64.StdEncoding.EncodeToString(w.ca.pem), Tags: map[string]string{},
	}
	for _, pair := range args[4:] {
		switch key, value, _ := strings.Cut(pair, "="); key {
		case "status":
			c.Status = value
		case "mode":
			c.AuthenticationMode, c.Endpoint = value, w.kubeURL+"/named/"+c.Name
		case "endpoint":
			c.Endpoint = value
			if value == "moved" {
				c.Endpoint = strings.Replace(w.kubeURL, "127.", "128.", 1)
			}
		default:
			c.Tags[key] = value
		}
	}
	ts.Check(w.aws.AddCluster(c))
}
