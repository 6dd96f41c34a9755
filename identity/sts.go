package identity

// GlobalSTSHost is the STS host of partition "aws" that belongs to no region. Requests
// to it are signed for [GlobalSTSRegion].
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
const GlobalSTSHost = "sts.amazonaws.com"

// GlobalSTSRegion is the signing region of [GlobalSTSHost].
const GlobalSTSRegion = "us-east-1"

// STSVariant selects among the STS hosts of a region. The zero value is the plain host.
type STSVariant struct {
	// FIPS selects the host with FIPS 140 validated cryptography.
	FIPS bool
	// DualStack selects the host that also supports IPv6.
	DualStack bool
}

// STSEndpoint is a host name of STS.
type STSEndpoint struct {
	// Host is the host name, lower case, without a port.
	Host string
	// Region is the signing region for this host.
	Region string
	// Partition is the ID of the host's partition.
	Partition string
}

type stsRow struct {
	host, region, partition string
	variant                 STSVariant
}

// STSEndpoints returns every row of the table, including the global host, each host
// once. The caller owns the slice.
func STSEndpoints() []STSEndpoint {
	out := []STSEndpoint{{Host: GlobalSTSHost, Region: GlobalSTSRegion, Partition: "aws"}}
	listed := map[string]bool{GlobalSTSHost: true}
	for i := range stsRows {
		if r := &stsRows[i]; !listed[r.host] {
			listed[r.host] = true
			out = append(out, STSEndpoint{Host: r.host, Region: r.region, Partition: r.partition})
		}
	}
	return out
}

// STSEndpointOf returns the host that the SDKs' endpoint rules select for a region:
// from the table or, for a region newer than the table, by the rule of its partition.
// An empty region and "aws-global" select the global host, which has no variants. It
// fails with *UnknownRegionError.
func STSEndpointOf(region string, v STSVariant) (STSEndpoint, error) {
	if region == "" || region == "aws-global" {
		return STSEndpoint{Host: GlobalSTSHost, Region: GlobalSTSRegion, Partition: "aws"}, nil
	}
	for i := range stsRows {
		if r := &stsRows[i]; r.region == region && r.variant == v {
			return STSEndpoint{Host: r.host, Region: r.region, Partition: r.partition}, nil
		}
	}
	p, err := PartitionOfRegion(region)
	if err != nil {
		return STSEndpoint{}, err
	}
	return STSEndpoint{Host: p.stsHost(region, v), Region: region, Partition: p.ID}, nil
}

// STSEndpointsOfRegion returns every host of a region, each host once, from the table
// or by the partition's rule. It fails with *UnknownRegionError.
func STSEndpointsOfRegion(region string) ([]STSEndpoint, error) {
	if _, err := PartitionOfRegion(region); err != nil {
		return nil, err
	}
	var out []STSEndpoint
	for _, v := range []STSVariant{{}, {FIPS: true}, {DualStack: true}, {FIPS: true, DualStack: true}} {
		e, err := STSEndpointOf(region, v)
		if err != nil {
			return nil, err
		}
		if len(out) == 0 || out[0].Host != e.Host {
			out = append(out, e)
		}
	}
	return out, nil
}

// LookupSTSHost finds a host in the table. The host must be byte-equal to an entry: no
// port, no trailing dot, no upper case, no pattern.
func LookupSTSHost(host string) (STSEndpoint, bool) {
	if host == GlobalSTSHost {
		return STSEndpoint{Host: GlobalSTSHost, Region: GlobalSTSRegion, Partition: "aws"}, true
	}
	for i := range stsRows {
		if r := &stsRows[i]; r.host == host {
			return STSEndpoint{Host: r.host, Region: r.region, Partition: r.partition}, true
		}
	}
	return STSEndpoint{}, false
}

// stsHost implements the SDKs' endpoint rule. In GovCloud the plain host is the FIPS
// host.
func (p Partition) stsHost(region string, v STSVariant) string {
	label, suffix := "sts.", p.DNSSuffix
	if v.FIPS && (v.DualStack || p.ID != "aws-us-gov") {
		label = "sts-fips."
	}
	if v.DualStack {
		suffix = p.DualStackDNSSuffix
	}
	return label + region + "." + suffix
}
