package cli

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/spf13/cobra"
)

func newClustersDescribeCommand(a *app, run func(ctx context.Context, name string) error) *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME",
		Short: "Show a cluster's endpoint, status, access and certificate authority",
		Example: `  ekskey clusters describe prod
  ekskey clusters describe prod --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{reason: fmt.Sprintf("one cluster's name is wanted, not %d", len(args))}
			}
			return needCluster(args[0])
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return a.clustersInKubeconfigs(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args[0]) },
	}
}

// clusterReport is what describe says of a cluster.
type clusterReport struct {
	Name               string            `json:"name"`
	ARN                string            `json:"arn"`
	Status             string            `json:"status"`
	Endpoint           string            `json:"endpoint,omitempty"`
	Version            string            `json:"version,omitempty"`
	PlatformVersion    string            `json:"platformVersion,omitempty"`
	AuthenticationMode string            `json:"authenticationMode,omitempty"`
	OIDCIssuer         string            `json:"oidcIssuer,omitempty"`
	Created            *time.Time        `json:"created,omitempty"`
	OutpostID          string            `json:"outpostID,omitempty"`
	Connector          string            `json:"connector,omitempty"`
	CAs                []certificateInfo `json:"certificateAuthorities"`
	Warnings           []string          `json:"warnings,omitempty"`
}

type certificateInfo struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	SHA256    string    `json:"sha256"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

func (a *app) runClustersDescribe(ctx context.Context, name string) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	session, err := a.load(ctx)
	if err != nil {
		return err
	}
	cluster, err := a.describe(ctx, session, name)
	if err != nil {
		return err
	}
	report := newClusterReport(cluster, a.env.Now())
	for _, w := range report.Warnings {
		a.warn("%s", w)
	}
	return a.write(&a.out, format, report, func(w io.Writer) { a.clusterTable(w, report) })
}

func newClusterReport(c *types.Cluster, now time.Time) clusterReport {
	r := clusterReport{
		Name: aws.ToString(c.Name), ARN: aws.ToString(c.Arn), Status: string(c.Status),
		Endpoint: aws.ToString(c.Endpoint), Version: aws.ToString(c.Version),
		PlatformVersion: aws.ToString(c.PlatformVersion), Created: c.CreatedAt,
		CAs: []certificateInfo{},
	}
	if c.AccessConfig != nil {
		r.AuthenticationMode = string(c.AccessConfig.AuthenticationMode)
	}
	if c.Identity != nil && c.Identity.Oidc != nil {
		r.OIDCIssuer = aws.ToString(c.Identity.Oidc.Issuer)
	}
	if c.OutpostConfig != nil {
		r.OutpostID = aws.ToString(c.Id)
	}
	if c.ConnectorConfig != nil {
		r.Connector = aws.ToString(c.ConnectorConfig.Provider)
	}
	encoded, bundle, err := caOf(c)
	switch {
	case err != nil:
		r.Warnings = append(r.Warnings, "the certificate authority is not base64")
	case encoded != "":
		r.CAs, r.Warnings = readCertificates(bundle, now)
	}
	return r
}

// readCertificates takes a PEM bundle apart, and says what is wrong with it.
func readCertificates(bundle []byte, now time.Time) ([]certificateInfo, []string) {
	certificates, warnings := []certificateInfo{}, []string(nil)
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			warnings = append(warnings, "the certificate authority has a part that is no certificate")
			continue
		}
		if now.After(cert.NotAfter) {
			warnings = append(warnings, "a certificate of the authority expired at "+cert.NotAfter.UTC().Format(time.RFC3339))
		}
		certificates = append(certificates, certificateInfo{
			Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), SHA256: fingerprint(cert.Raw),
			NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(),
		})
	}
	if len(certificates) == 0 && len(warnings) == 0 {
		warnings = append(warnings, "the certificate authority is not a PEM certificate")
	}
	return certificates, warnings
}

// fingerprint is written as `openssl x509 -fingerprint -sha256` does.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

func (a *app) clusterTable(w io.Writer, r clusterReport) {
	pairs := [][2]string{
		{"name", r.Name}, {"arn", r.ARN}, {"status", r.Status}, {"endpoint", r.Endpoint},
		{"version", r.Version}, {"platform version", r.PlatformVersion},
		{"authentication mode", r.AuthenticationMode}, {"oidc issuer", r.OIDCIssuer},
		{"outpost id", r.OutpostID}, {"connector", r.Connector},
	}
	if r.Created != nil {
		pairs = append(pairs, [2]string{"created", r.Created.UTC().Format(time.RFC3339)})
	}
	for _, c := range r.CAs {
		pairs = append(pairs, [][2]string{
			{"ca subject", c.Subject}, {"ca issuer", c.Issuer}, {"ca sha256", c.SHA256},
			{"ca not before", c.NotBefore.Format(time.RFC3339)}, {"ca not after", c.NotAfter.Format(time.RFC3339)},
		}...)
	}
	a.fields(w, pairs...)
}
