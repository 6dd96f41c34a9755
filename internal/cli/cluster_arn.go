package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ekskey/ekskey/identity"
)

// clusterFlags are the flags that name a cluster, whatever the command.
func clusterFlags() []string { return []string{"cluster", "cluster-name", "cluster-id", "name"} }

// takeClusterARNs reads the ARNs that name clusters on the command line as the name
// and the region in them.
func (a *app) takeClusterARNs(cmd *cobra.Command, args []string) error {
	for _, name := range clusterFlags() {
		flag := cmd.Flags().Lookup(name)
		if flag == nil || !flag.Changed {
			continue
		}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			values := list.GetSlice()
			for i := range values {
				if err := a.takeClusterARN(&values[i]); err != nil {
					return err
				}
			}
			if err := list.Replace(values); err != nil {
				return err
			}
			continue
		}
		value := flag.Value.String()
		if err := a.takeClusterARN(&value); err != nil {
			return err
		}
		if err := flag.Value.Set(value); err != nil {
			return err
		}
	}
	if cmd.Name() == "describe" && len(args) == 1 {
		return a.takeClusterARN(&args[0])
	}
	return nil
}

// takeClusterARN replaces the ARN of a cluster by the cluster's name, and takes the
// region in it as --region. What is no ARN stays.
func (a *app) takeClusterARN(cluster *string) error {
	return takeClusterARN(cluster, &a.global.region, "leave --region out, or name the cluster without its ARN")
}

// takeClusterARN is that of a cluster whose region may be named beside it. The hint is for a
// region that differs.
func takeClusterARN(cluster, region *string, hint string) error {
	if !strings.HasPrefix(strings.ToLower(*cluster), "arn:") {
		return nil
	}
	refuse := func(hint, format string, args ...any) error {
		return &usageError{reason: fmt.Sprintf(format, args...), hint: hint}
	}
	const form = "an EKS cluster's ARN looks like arn:aws:eks:eu-central-1:111122223333:cluster/prod"
	arn, err := identity.ParseARN(*cluster)
	if err != nil {
		return refuse(form, "%v", err)
	}
	kind, name, _ := strings.Cut(arn.Resource, "/")
	if arn.Service == "outposts" || kind == "local-cluster" {
		return refuse("give the ID in its place: aws eks describe-cluster --query cluster.id", "arn %q is of a local cluster on Outposts, whose tokens are for its ID", *cluster)
	}
	if arn.Service != "eks" || kind != "cluster" || name == "" || strings.Contains(name, "/") || !identity.IsAccountID(arn.Account) {
		return refuse(form, "arn %q is not one of an EKS cluster", *cluster)
	}
	partition, err := identity.PartitionOfRegion(arn.Region)
	if err != nil || partition.ID != arn.Partition {
		return refuse(form, "arn %q: region %q is not one of partition %q", *cluster, arn.Region, arn.Partition)
	}
	if *region != "" && *region != arn.Region {
		return refuse(hint, "arn %q is in another region than %s", *cluster, *region)
	}
	*region, *cluster = arn.Region, name
	return nil
}
