// Command clusterrole-aggregation runs one of kube-controller-manager's controllers alone:
// the one that fills admin, edit, view and other aggregated ClusterRoles. The sandbox has
// nothing that the others would act on.
package main

import (
	"fmt"
	"os"

	"github.com/ekskey/ekskey/sandbox/controlplane/internal/aggregation"
)

func main() {
	if err := aggregation.Run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "clusterrole-aggregation:", err)
		os.Exit(1)
	}
}
