package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/access"
	"github.com/ekskey/ekskey/internal/rbac"
)

func newAccessWhoCanCommand(a *app, run func(ctx context.Context, cluster, namespace string, words []string) error) *cobra.Command {
	var cluster, namespace string
	cmd := &cobra.Command{
		Use:   "who-can --cluster NAME VERB RESOURCE [NAME]",
		Short: "List who may do something, by RBAC or by an access policy",
		Long: `List the principals that may do something, and the binding or access policy that
allows it. A resource is named as in kubectl auth can-i: pods, pods/log,
deployments.apps, or a path such as /metrics. Without --namespace the question is
about all namespaces, or a resource that has none.`,
		Example: `  ekskey access who-can --cluster prod delete pods --namespace web
  ekskey access who-can --cluster prod get secrets
  ekskey access who-can --cluster prod get /metrics --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return &usageError{reason: fmt.Sprintf("a verb, a resource and perhaps a name are wanted, not %d words", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), cluster, namespace, args) },
	}
	a.clusterFlag(cmd, &cluster)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "`namespace` of the request")
	return cmd
}

// whoCanReport is what who-can prints.
type whoCanReport struct {
	Cluster string `json:"cluster"`
	Request string `json:"request"`
	access.WhoCan
}

func (a *app) runAccessWhoCan(ctx context.Context, cluster, namespace string, words []string) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	q, err := parseRequest(words, namespace)
	if err != nil {
		return err
	}
	target, err := a.openAccess(ctx, cluster)
	if err != nil {
		return err
	}
	c, err := target.read(ctx, a, false)
	if err != nil {
		return err
	}
	policy, err := target.rbac(ctx)
	if err != nil {
		return &hintError{err, "who-can needs the verb list on roles, rolebindings, clusterroles and clusterrolebindings"}
	}
	who, err := c.WhoCan(policy, q)
	if err != nil {
		return err
	}
	report := whoCanReport{Cluster: c.Name, Request: q.String(), WhoCan: who}
	return a.write(&a.out, format, report, func(w io.Writer) {
		var rows [][]string
		for _, g := range who.Grants {
			rows = append(rows, []string{principalName(g.Way), g.Way.Username, g.By})
		}
		for _, g := range who.Unpublished {
			rows = append(rows, []string{principalName(g.Way), g.Way.Username, "perhaps: " + g.By})
		}
		for _, o := range who.OtherSubjects {
			for _, s := range o.Subjects {
				name := s.Name
				if s.Namespace != "" {
					name = s.Namespace + "/" + name
				}
				rows = append(rows, []string{"-", s.Kind + " " + name, o.Binding})
			}
		}
		a.table(w, []string{"PRINCIPAL", "USER", "BY"}, rows)
	})
}

// parseRequest reads what kubectl auth can-i reads.
func parseRequest(words []string, namespace string) (rbac.Request, error) {
	q := rbac.Request{Verb: words[0], Namespace: namespace}
	if strings.HasPrefix(words[1], "/") {
		if len(words) > 2 || namespace != "" {
			return q, &usageError{reason: "a path has neither a name nor a namespace"}
		}
		q.Path = words[1]
		return q, nil
	}
	resource, subresource, _ := strings.Cut(words[1], "/")
	q.Resource, q.Group, _ = strings.Cut(resource, ".")
	// pods.metrics.k8s.io/status, and deployments.apps/scale as well.
	q.Subresource = subresource
	if len(words) > 2 {
		q.Name = words[2]
	}
	if q.Verb == "" || q.Resource == "" {
		return q, &usageError{reason: "the verb or the resource is empty"}
	}
	return q, nil
}
