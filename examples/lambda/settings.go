package main

import (
	"encoding/base64"
	"time"

	"github.com/ekskey/ekskey/kubeclient"
)

// settings are what the function's environment says. docs/lambda.md names the
// variables.
type settings struct {
	cluster        kubeclient.Config
	pod, namespace string
}

// settingError says which variable is wrong.
type settingError struct{ variable, reason string }

func (e *settingError) Error() string {
	return "the function's variable " + e.variable + " " + e.reason
}

// read takes the settings from the environment. It fails with *settingError.
func read(getenv func(string) string) (settings, error) {
	s := settings{
		cluster: kubeclient.Config{
			Cluster: getenv("CLUSTER"), Region: getenv("CLUSTER_REGION"), Endpoint: getenv("CLUSTER_ENDPOINT"),
		},
		pod: getenv("POD"), namespace: getenv("POD_NAMESPACE"),
	}
	for variable, value := range map[string]string{"CLUSTER": s.cluster.Cluster, "POD": s.pod, "POD_NAMESPACE": s.namespace} {
		if value == "" {
			return settings{}, &settingError{variable, "is empty"}
		}
	}
	if role := getenv("ROLE_ARN"); role != "" {
		s.cluster.RoleARNs = []string{role}
	}
	var err error
	if s.cluster.CAData, err = base64.StdEncoding.DecodeString(getenv("CLUSTER_CA")); err != nil {
		return settings{}, &settingError{"CLUSTER_CA", "is not base64, as EKS gives it"}
	}
	if age := getenv("TOKEN_MAX_AGE"); age != "" {
		if s.cluster.TokenMaxAge, err = time.ParseDuration(age); err != nil || s.cluster.TokenMaxAge <= 0 {
			return settings{}, &settingError{"TOKEN_MAX_AGE", "is not a duration such as 14m"}
		}
	}
	return s, nil
}
