package main

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
)

// pageSize is how many pods are asked for at once, which bounds the memory that
// they take here and in the API server. It is kubectl's own.
const pageSize = 500

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// count counts the pods of all namespaces. Of each, only the metadata is asked for.
func count(ctx context.Context, client metadata.Interface) (int, error) {
	total := 0
	for next := (metav1.ListOptions{Limit: pageSize}); ; {
		page, err := client.Resource(pods).List(ctx, next)
		var status *apierrors.StatusError
		switch {
		case err == nil:
			total += len(page.Items)
			next.Continue = page.Continue
		case apierrors.IsResourceExpired(err) && errors.As(err, &status) && next.Continue != "" && status.ErrStatus.Continue != "":
			// The API server remembers the moment of the first page for some minutes. After
			// that the rest is counted as it is now.
			next.Continue = status.ErrStatus.Continue
			continue
		default:
			return 0, fmt.Errorf("counting the pods: %w", bare(err))
		}
		if next.Continue == "" {
			return total, nil
		}
	}
}

// has reports whether there is such a pod.
func has(ctx context.Context, client metadata.Interface, namespace, name string) (bool, error) {
	_, err := client.Resource(pods).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for the pod: %w", bare(err))
	}
	return true, nil
}
