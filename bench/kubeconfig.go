package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

const (
	fileContexts = 1000
	fileRounds   = 15
)

// kubeconfigRow measures the update of one cluster in a file of many, with its lock
// and until it is on disk, in this process on both sides. client-go's two calls
// take no lock, leave a half-written file when they are stopped, and wait for no
// disk.
func (p *programs) kubeconfigRow(ctx context.Context) (row, error) {
	ours, theirs := filepath.Join(p.dir, "ours.kubeconfig"), filepath.Join(p.dir, "theirs.kubeconfig")
	first := kubeconfig.Env{Flag: ours}
	var all kubeconfig.Batch
	for i := range fileContexts {
		change, err := benchChange(i, "default")
		if err != nil {
			return row{}, err
		}
		all.Changes = append(all.Changes, change)
	}
	if _, err := kubeconfig.Update(ctx, first, all); err != nil {
		return row{}, err
	}
	text, err := os.ReadFile(ours) // #nosec G304 -- written just now
	if err != nil {
		return row{}, err
	}
	if err := os.WriteFile(theirs, text, 0o600); err != nil { // #nosec G703 -- a path of our own
		return row{}, err
	}
	// Each round another namespace, so that there is something to write.
	round := 0
	ekskey := func() (time.Duration, error) {
		round++
		change, err := benchChange(fileContexts/2, fmt.Sprintf("ns-%d", round))
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		report, err := kubeconfig.Update(ctx, first, kubeconfig.Batch{Changes: []kubeconfig.Change{change}})
		took := time.Since(begin)
		if err == nil && report.Results[0].Context.Outcome != kubeconfig.Updated {
			err = fmt.Errorf("the update left the context %s", report.Results[0].Context.Outcome)
		}
		return took, err
	}
	name := all.Changes[fileContexts/2].Context.Name
	clientGo := func() (time.Duration, error) {
		begin := time.Now()
		config, err := clientcmd.LoadFromFile(theirs)
		if err != nil {
			return 0, err
		}
		config.Contexts[name].Namespace = fmt.Sprintf("ns-%d", round)
		err = clientcmd.WriteToFile(*config, theirs)
		return time.Since(begin), err
	}
	a, b, err := inTurns(fileRounds, ekskey, clientGo)
	if err != nil {
		return row{}, err
	}
	if err := sameKubeconfigs(ours, theirs); err != nil {
		return row{}, err
	}
	return row{
		what: fmt.Sprintf("kubeconfig.Update, %d contexts (%d kB) : client-go's LoadFromFile + WriteToFile", fileContexts, len(text)/1000),
		ours: a, theirs: b, target: "<= 1.0",
	}, nil
}

// benchChange is a cluster's, with a certificate authority as long as those of EKS.
func benchChange(i int, namespace string) (kubeconfig.Change, error) {
	ca := "-----BEGIN CERTIFICATE-----\n" + strings.Repeat(fmt.Sprintf("%064d\n", i), 16) + "-----END CERTIFICATE-----\n"
	return kubeconfig.ForEKS(kubeconfig.Options{
		ClusterARN:  fmt.Sprintf("arn:aws:eks:%s:%s:cluster/bench-%04d", region, account, i),
		ClusterName: fmt.Sprintf("bench-%04d", i), Region: region,
		Endpoint: fmt.Sprintf("https://%032X.gr7.%s.eks.amazonaws.com", i, region),
		CAData:   []byte(base64.StdEncoding.EncodeToString([]byte(ca))),
		Command:  "/usr/local/bin/ekskey", Namespace: namespace,
		RoleChain: []kubeconfig.Hop{{ARN: "arn:aws:iam::" + account + ":role/bench"}},
	})
}

// sameKubeconfigs makes sure that both sides did the same work.
func sameKubeconfigs(ours, theirs string) error {
	a, err := clientcmd.LoadFromFile(ours)
	if err != nil {
		return err
	}
	b, err := clientcmd.LoadFromFile(theirs)
	if err != nil {
		return err
	}
	if len(a.Contexts) != fileContexts || len(b.Contexts) != fileContexts {
		return fmt.Errorf("of %d contexts are left %d and %d", fileContexts, len(a.Contexts), len(b.Contexts))
	}
	for name, context := range a.Contexts {
		if other := b.Contexts[name]; other == nil || other.Namespace != context.Namespace || other.AuthInfo != context.AuthInfo {
			return fmt.Errorf("context %s is not the same in both files", name)
		}
	}
	return nil
}
