package fakeaws

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Instance is an EC2 instance to add.
type Instance struct {
	Account, Region string
	ID              string // such as i-0123456789abcdef0
	PrivateDNSName  string // may be empty, as it is for one in a VPC without DNS hostnames
	PrivateIP       string
	ProfileARN      string // of its instance profile; empty means none
	State           string // pending, running, stopped, terminated; empty means running
	LaunchTime      time.Time
	Tags            map[string]string
}

// instanceStates are the codes of EC2's states
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html).
var instanceStates = map[string]int{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// AddInstance adds an instance, in place of one of the same id.
func (s *Server) AddInstance(i Instance) error {
	if _, err := s.account(i.Account, partitionOf(i.Region)); err != nil {
		return fmt.Errorf("adding instance: %w", err)
	}
	i.State = cmp.Or(i.State, "running")
	_, known := instanceStates[i.State]
	if !known || !validRegion(i.Region) || !instanceID.MatchString(i.ID) {
		return fmt.Errorf("adding instance: state %q, region %q or id %q is not one of EC2's", i.State, i.Region, i.ID)
	}
	if i.LaunchTime.IsZero() {
		i.LaunchTime = s.clock()
	}
	i.Tags = maps.Clone(i.Tags)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.ProfileARN != "" && s.profiles[i.ProfileARN] == nil {
		return fmt.Errorf("adding instance: instance profile %s: %w", i.ProfileARN, ErrNotFound)
	}
	s.instances = append(slices.DeleteFunc(s.instances, func(other *Instance) bool { return other.ID == i.ID }), &i)
	return nil
}

// ec2Error is a refusal of EC2's
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html).
func ec2Error(code, message string) *apiError { return &apiError{code, message, http.StatusBadRequest} }

// describeInstances answers each instance in a reservation of its own
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html).
func (s *Server) describeInstances(c *call, who *credential) (any, *apiError) {
	if verdict := who.owner.identityDecision(c.action, "*", c.requestContext(who)); verdict != allowed {
		return nil, accessDenied(fmt.Sprintf("You are not authorized to perform this operation. User: %s is not authorized to perform: %s %s", who.arn(), c.action, verdict.because(c.action)))
	}
	filters, err := c.instanceFilters()
	if err != nil {
		return nil, err
	}
	ids := c.listParams("InstanceId")
	if _, limited := c.params["MaxResults"]; limited && len(ids) > 0 {
		return nil, ec2Error("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	for _, id := range ids {
		if !instanceID.MatchString(id) {
			return nil, ec2Error("InvalidInstanceID.Malformed", fmt.Sprintf("Invalid id: %q", id))
		}
	}
	own := map[string]*Instance{}
	for _, i := range s.instances {
		if i.Account == who.owner.account.id && i.Region == c.auth.region {
			own[i.ID] = i
		}
	}
	if missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return own[id] != nil }); len(missing) == 1 {
		return nil, ec2Error("InvalidInstanceID.NotFound", fmt.Sprintf("The instance ID '%s' does not exist", missing[0]))
	} else if len(missing) > 1 {
		return nil, ec2Error("InvalidInstanceID.NotFound", fmt.Sprintf("The instance IDs '%s' do not exist", strings.Join(missing, ", ")))
	}
	maps.DeleteFunc(own, func(id string, i *Instance) bool {
		return len(ids) > 0 && !slices.Contains(ids, id) || slices.ContainsFunc(filters, func(matches func(*Instance) bool) bool { return !matches(i) })
	})
	page, next, refusal := c.page(slices.Sorted(maps.Keys(own)), "MaxResults", "NextToken", 5, 1000, 1000)
	if refusal != "" {
		return nil, ec2Error("InvalidParameterValue", refusal)
	}
	reservations := items{}
	for _, id := range page {
		reservations = append(reservations, object{
			{"reservationId", "r-" + strings.TrimPrefix(id, "i-")}, {"ownerId", own[id].Account}, {"groupSet", items{}}, {"instancesSet", items{s.describeInstance(own[id])}},
		})
	}
	return withToken(object{{"reservationSet", reservations}}, next), nil
}

func (s *Server) describeInstance(i *Instance) object {
	o := object{
		{"instanceId", i.ID}, {"instanceState", object{{"code", instanceStates[i.State]}, {"name", i.State}}},
		{"privateDnsName", i.PrivateDNSName}, {"launchTime", timestamp(i.LaunchTime)},
	}
	if i.PrivateIP != "" {
		o = append(o, member{"privateIpAddress", i.PrivateIP})
	}
	if profile := s.profiles[i.ProfileARN]; profile != nil {
		o = append(o, member{"iamInstanceProfile", object{{"arn", i.ProfileARN}, {"id", profile.id}}})
	}
	tags := items{}
	for _, key := range slices.Sorted(maps.Keys(i.Tags)) {
		tags = append(tags, object{{"key", key}, {"value", i.Tags[key]}})
	}
	return append(o, member{"tagSet", tags})
}

// instanceFilters reads the filters of a request; of one filter's values one must fit,
// and of several filters all.
func (c *call) instanceFilters() ([]func(*Instance) bool, *apiError) {
	var filters []func(*Instance) bool
	for n := 1; ; n++ {
		prefix := "Filter." + strconv.Itoa(n)
		name, ok := c.params[prefix+".Name"]
		if !ok {
			return filters, nil
		}
		var of func(*Instance) string
		tag, isTag := strings.CutPrefix(name, "tag:")
		switch {
		case isTag:
			of = func(i *Instance) string { return i.Tags[tag] }
		case name == "instance-id":
			of = func(i *Instance) string { return i.ID }
		case name == "instance-state-name":
			of = func(i *Instance) string { return i.State }
		case name == "private-dns-name":
			of = func(i *Instance) string { return i.PrivateDNSName }
		case name == "private-ip-address":
			of = func(i *Instance) string { return i.PrivateIP }
		case name == "iam-instance-profile.arn":
			of = func(i *Instance) string { return i.ProfileARN }
		default:
			return nil, ec2Error("InvalidParameterValue", fmt.Sprintf("The filter '%s' is invalid", name))
		}
		values := c.listParams(prefix + ".Value")
		filters = append(filters, func(i *Instance) bool {
			return slices.ContainsFunc(values, func(v string) bool { return matchWildcard(v, of(i)) })
		})
	}
}
