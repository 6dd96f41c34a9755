package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/token"
)

// What is synchronised: so many clusters in each of so many regions of so many
// accounts, of an AWS that is so far away.
const (
	syncAccounts = 5
	syncRegions  = 20
	syncClusters = 10
	syncLatency  = 50 * time.Millisecond
	syncRounds   = 5
	// syncSample is how many of the regions are gone through one call after the
	// other; the rest is reckoned, for it would take a minute.
	syncSample = 5
)

// fleet is an AWS on this computer, in this process, with a profile an account.
type fleet struct {
	server  *httptest.Server
	keys    []fakeaws.Key
	regions []string
	env     []string
}

func newFleet(p *programs) (*fleet, error) {
	f := &fleet{}
	for _, e := range identity.STSEndpoints() {
		if e.Partition == "aws" && !slices.Contains(f.regions, e.Region) {
			f.regions = append(f.regions, e.Region)
		}
	}
	f.regions = f.regions[:syncRegions]
	far := fakeaws.New(fakeaws.Config{})
	far.SetFault(fakeaws.AnyAction, fakeaws.Fault{Latency: syncLatency})
	f.server = httptest.NewTLSServer(far)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
	var config strings.Builder
	for i := range syncAccounts {
		account := fmt.Sprintf("%012d", 111111111111*(i+1))
		k, err := far.AddUser(fakeaws.User{Account: account, Name: "bench"})
		if err != nil {
			return f, err
		}
		f.keys = append(f.keys, k)
		_, _ = fmt.Fprintf(&config, "[profile p%d]\naws_access_key_id = %s\naws_secret_access_key = %s\n", i, k.AccessKeyID, k.SecretAccessKey)
		for _, r := range f.regions {
			for n := range syncClusters {
				if err := far.AddCluster(fakeaws.Cluster{
					Account: account, Region: r, Name: fmt.Sprintf("cluster-%d", n), Version: "1.36",
					Endpoint: "https://0123456789ABCDEF0123456789ABCDEF.gr7." + r + ".eks.amazonaws.com",
					CAData:   base64.StdEncoding.EncodeToString(ca),
				}); err != nil {
					return f, err
				}
			}
		}
	}
	configFile, caFile := filepath.Join(p.dir, "fleet-config"), filepath.Join(p.dir, "fleet-ca.pem")
	if err := errors.Join(os.WriteFile(configFile, []byte(config.String()), 0o600), os.WriteFile(caFile, ca, 0o600)); err != nil {
		return f, err
	}
	f.env = p.environment("AWS_CONFIG_FILE="+configFile, "AWS_CA_BUNDLE="+caFile, "AWS_ENDPOINT_URL="+f.server.URL)
	return f, nil
}

// sync writes all the fleet's clusters into an empty kubeconfig, and says how long
// that took and how much memory, in bytes, or 0 where the system does not tell.
func (f *fleet) sync(ctx context.Context, p *programs) (took time.Duration, memory int64, err error) {
	file := filepath.Join(p.dir, "fleet-kubeconfig")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, 0, err
	}
	var profiles []string
	for i := range syncAccounts {
		profiles = append(profiles, fmt.Sprintf("p%d", i))
	}
	cmd := exec.CommandContext(ctx, p.ekskey, "kubeconfig", "sync", "--profiles", strings.Join(profiles, ","), // #nosec G204 -- built here
		"--regions", strings.Join(f.regions, ","), "--kubeconfig", file, "--exec-command", "ekskey", "--output", "json")
	cmd.Env = f.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	// The output is longer than what a pipe holds, and comes at the very end: as long
	// as it is not read, the process is there to be looked at.
	first := make([]byte, 1)
	_, readErr := io.ReadFull(out, first)
	memory = peak(cmd.Process.Pid)
	rest, _ := io.ReadAll(out)
	if err := errors.Join(cmd.Wait(), readErr); err != nil {
		return 0, 0, fmt.Errorf("running ekskey kubeconfig sync: %w\n%s", err, stderr.String())
	}
	took = time.Since(begin)
	if n := bytes.Count(rest, []byte(`"outcome": "added"`)); n != syncAccounts*syncRegions*syncClusters {
		return 0, 0, fmt.Errorf("ekskey kubeconfig sync added %d contexts\n%s", n, stderr.String())
	}
	return took, memory, nil
}

// peak is the most memory, in bytes, that a process has had, on Linux.
func peak(pid int) int64 {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	_, _ = fmt.Sscan(rest, &kib)
	return kib << 10
}

// sequential makes the same calls one after the other, with plain clients of the
// SDK, in some of the regions, and says how long all would take.
func (f *fleet) sequential(ctx context.Context, regions int) (time.Duration, error) {
	begin := time.Now()
	for _, k := range f.keys {
		for _, r := range f.regions[:regions] {
			client := eks.NewFromConfig(aws.Config{
				Region: r, Credentials: token.StaticKeys(k.AccessKeyID, k.SecretAccessKey, ""),
				HTTPClient: f.server.Client(), BaseEndpoint: aws.String(f.server.URL),
			})
			list, err := client.ListClusters(ctx, &eks.ListClustersInput{})
			if err != nil {
				return 0, err
			}
			for i := range list.Clusters {
				if _, err := client.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &list.Clusters[i]}); err != nil {
					return 0, err
				}
			}
		}
	}
	return time.Since(begin) * time.Duration(len(f.regions)) / time.Duration(regions), nil
}

func (p *programs) syncFleet(ctx context.Context) (row, error) {
	f, err := newFleet(p)
	if f.server != nil {
		defer f.server.Close()
	}
	if err != nil {
		return row{}, err
	}
	theirs, err := f.sequential(ctx, syncSample)
	if err != nil {
		return row{}, err
	}
	var times []time.Duration
	var most int64
	for range syncRounds {
		took, memory, err := f.sync(ctx, p)
		if err != nil {
			return row{}, err
		}
		times, most = append(times, took), max(most, memory)
	}
	note := fmt.Sprintf("One call after another: measured in %d of the %d regions of each account, and reckoned for all. ", syncSample, syncRegions)
	if most > 0 {
		note += fmt.Sprintf("ekskey kubeconfig sync used %d MB at most (target <= 64).", most/1_000_000)
	} else {
		note += "This system does not tell how much memory ekskey kubeconfig sync used."
	}
	return row{
		what: fmt.Sprintf("ekskey kubeconfig sync, %d clusters, %d regions x %d accounts, %s a call : one call after another",
			syncAccounts*syncRegions*syncClusters, syncRegions, syncAccounts, syncLatency),
		ours: median(times), theirs: theirs, target: "<= 1/20", note: note,
	}, nil
}
