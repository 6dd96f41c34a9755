package fakeaws

import (
	"net"
	"strings"
)

// dnsSuffixes are the domains of AWS's own API hosts, one or two a partition.
// The source is the partition metadata that AWS publishes with its SDKs.
var dnsSuffixes = []string{
	".amazonaws.com", ".api.aws",
	".amazonaws.com.cn", ".api.amazonwebservices.com.cn",
	".amazonaws.eu", ".api.amazonwebservices.eu",
	".c2s.ic.gov", ".api.aws.ic.gov",
	".sc2s.sgov.gov", ".api.aws.scloud",
	".cloud.adc-e.uk", ".api.cloud-aws.adc-e.uk",
	".csp.hci.ic.gov", ".api.aws.hci.ic.gov",
}

// awsHost says which service and region a host of AWS's own belongs to. It
// knows the hosts of STS, EKS, EC2, IAM, the SSO portal and SSO-OIDC, and reports
// false for every other.
func awsHost(hostport string) (service, region string, ok bool) {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	for _, suffix := range dnsSuffixes {
		labels, found := strings.CutSuffix(host, suffix)
		if !found {
			continue
		}
		labels = strings.TrimPrefix(labels, "fips.") // EKS's form
		if portal, ok := strings.CutPrefix(labels, "portal.sso."); ok {
			labels = servicePortal + "." + portal
		}
		service, region, _ = strings.Cut(labels, ".")
		switch service = strings.TrimSuffix(service, "-fips"); service {
		case serviceSTS:
			if region == "" {
				region = "us-east-1"
			}
		case serviceIAM:
			region = iamRegion(region, suffix)
		case "oidc":
			service = serviceOIDC
		case serviceEKS, serviceEC2, servicePortal:
		default:
			return "", "", false
		}
		if strings.Contains(region, ".") {
			return "", "", false
		}
		return service, region, region != ""
	}
	return "", "", false
}

// iamRegion is the region that IAM's one endpoint of a partition is signed for.
func iamRegion(label, suffix string) string {
	switch {
	case label == "us-gov":
		return "us-gov-west-1"
	case label != "" && label != "global":
		return label
	case strings.HasSuffix(suffix, ".cn"):
		return "cn-north-1"
	}
	return "us-east-1"
}

// partitions are the partitions with region names of their own, by prefix;
// every other region is in "aws".
var partitions = []struct{ prefix, name string }{
	{"cn-", "aws-cn"},
	{"us-gov-", "aws-us-gov"},
	{"us-iso-", "aws-iso"},
	{"us-isob-", "aws-iso-b"},
	{"eu-isoe-", "aws-iso-e"},
	{"us-isof-", "aws-iso-f"},
	{"eusc-", "aws-eusc"},
}

func partitionOf(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.name
		}
	}
	return "aws"
}

func validPartition(name string) bool {
	for _, p := range partitions {
		if p.name == name {
			return true
		}
	}
	return name == "aws"
}

// validRegion reports whether a region's name is of AWS's shape: lower-case
// words joined by hyphens, with a number last.
func validRegion(region string) bool {
	if len(region) > 32 || !strings.Contains(region, "-") {
		return false
	}
	for i := range len(region) {
		ch := region[i]
		if ('a' > ch || ch > 'z') && ('0' > ch || ch > '9') && ch != '-' {
			return false
		}
	}
	last := region[len(region)-1]
	return '0' <= last && last <= '9'
}
