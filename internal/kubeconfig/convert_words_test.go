package kubeconfig

import (
	"strings"
	"testing"
)

const (
	tail    = " --exec-api-version v1"
	awsTail = " --aws-cli-order=true" + tail
)

func TestConvertToOurs(t *testing.T) {
	runConversions(t, toOursTest(), []conversionRow{
		{line: "aws --region r eks get-token --cluster-name c --output json", want: ourPath + " token --cluster c --region r" + awsTail},
		{line: "aws eks get-token --cluster-id c", want: ourPath + " token --cluster c" + awsTail},
		{line: "/usr/bin/aws eks --profile=p get-token --cluster-name=c", want: ourPath + " token --cluster c --profile p" + awsTail},
		{line: "aws eks get-token --cluster-n c --r r --ca-bundle f", want: ourPath + " token --cluster c --region r --ca-bundle f" + awsTail},
		{line: "aws eks get-token --cluster-name c --no-cli-pager --color off", want: ourPath + " token --cluster c" + awsTail},
		{line: "aws eks get-token --cluster-name c --role ROLE", want: ourPath + " token --cluster c --role-arn ROLE --session-name EKSGetTokenAuth" + awsTail},
		{line: "aws eks get-token --cluster-name c", env: "AWS_PROFILE=p AWS_STS_REGIONAL_ENDPOINTS=regional X=y DEFAULT_ROLE=r", want: ourPath + " token --cluster c" + awsTail},
		{line: "aws eks get-token --cluster-name c", env: "AWS_DEFAULT_REGION=r", want: ourPath + " token --cluster c --region r" + awsTail},
		{line: "aws eks get-token --cluster-name c", env: "AWS_DEFAULT_REGION=r AWS_REGION=s", reason: "variables for the region differ"},
		{line: "aws-iam-authenticator token -i c -r ROLE -s me --region r", want: ourPath + " token --cluster-id c --region r --role-arn ROLE --session-name me" + tail},
		{line: "heptio-authenticator-aws token -i=c --role=ROLE", env: "AWS_DEFAULT_PROFILE=p", want: ourPath + " token --cluster-id c --role-arn ROLE" + tail},
		{line: "aws-iam-authenticator token", env: "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID=c DEFAULT_ROLE=" + testRole, want: ourPath + " token --cluster-id c" + tail},
		{line: "aws-iam-authenticator token -i c --forward-session-name --cache -l json", want: ourPath + " token --cluster-id c --forward-session-name=true" + tail},

		{line: "aws eks get-token --cluster-name c --query status", reason: "--query cannot"},
		{line: "aws eks get-token --cluster-name c --que status", reason: "--que cannot"},
		{line: "aws eks get-token --cluster-name c --debug", reason: "--debug cannot"},
		{line: "aws eks get-token --cluster-name c --endpoint-url http://x", reason: "--endpoint-url cannot"},
		{line: "aws eks get-token --cluster-name c --no-verify-ssl", reason: "--no-verify-ssl cannot"},
		{line: "aws eks get-token --cluster-name c --AbC=x", reason: "has an option"},
		{line: "aws eks get-token --cluster-name c -r ROLE", reason: "-r cannot"},
		{line: "aws eks get-token --cluster-name c --c x", reason: "--c cannot"},
		{line: "aws eks get-token --cluster-name c --output text", reason: "--output is not json"},
		{line: "aws eks get-token --cluster-name c --cluster-id d", reason: "two clusters"},
		{line: "aws eks get-token --cluster-name c --cluster-name d", reason: "said twice"},
		{line: "aws eks get-token --cluster-name c --role-arn ROLE --role-arn ROLE", reason: "several roles"},
		{line: "aws eks get-token --cluster-name c --role-arn arn:aws:iam::111122223333:user/u", reason: "not the ARN of a role"},
		{line: "aws eks get-token --cluster-name file://c", reason: "from a URL"},
		{line: "aws eks get-token --cluster-name", reason: "has no value"},
		{line: "aws eks get-token --cluster-name ", reason: "empty value"},
		{line: "aws eks get-token --cluster-name c --profile --region", reason: "begins with -"},
		{line: "aws eks get-token --cluster-name c --no-cli-pager=true", reason: "not understood"},
		{line: "aws eks get-token --cluster-name c -- x", reason: "-- cannot"},
		{line: "aws eks get-token c", reason: "another command"},
		{line: "aws eks get-token", reason: "names no cluster"},
		{line: "aws eks describe-cluster --cluster-name c", reason: "another command"},
		{line: "aws eks get-token --cluster-name c", env: "AWS_ACCESS_KEY_ID=x", reason: "AWS_ACCESS_KEY_ID may"},
		{line: "aws eks get-token --cluster-name c", env: "AWS_CONFIG_FILE=x", reason: "AWS_CONFIG_FILE may"},
		{line: "aws eks get-token --cluster-name c", env: "AWS_DEFAULT_PROFILE=x", reason: "AWS_DEFAULT_PROFILE may"},
		{line: "aws eks get-token --cluster-name c", env: "AWS_ENDPOINT_URL_STS=https://x", reason: "AWS_ENDPOINT_URL_STS may"},
		{line: "aws eks get-token --cluster-name c", env: "AWS_PROFILE=", reason: "AWS_PROFILE may"},
		{line: "aws eks get-token --cluster-name c", env: "aws_profile=p", reason: "AWS_PROFILE may"},
		{line: "aws eks get-token --cluster-name c", env: "AWS_AKIA1234=p", reason: "one of its variables"},
		{line: "aws eks get-token --cluster-name c", env: "HOME=/x", reason: "HOME decides"},
		{line: "./aws eks get-token --cluster-name c", reason: "beside the kubeconfig"},
		{line: "bin/aws eks get-token --cluster-name c", reason: "beside the kubeconfig"},
		{line: "aws.exe eks get-token --cluster-name c", reason: "another program"},
		{line: "AWS eks get-token --cluster-name c", reason: "another program"},
		{line: "sh -c aws", reason: "another program"},
		{line: "aws-vault exec p -- aws eks get-token --cluster-name c", reason: "another program"},
		{line: "gke-gcloud-auth-plugin", reason: "another program"},

		{line: "aws-iam-authenticator token -i c --token-only", reason: "--token-only cannot"},
		{line: "aws-iam-authenticator token -i c -c f", reason: "-c cannot"},
		{line: "aws-iam-authenticator token -i c -r ", reason: "-r has an empty value"},
		{line: "aws-iam-authenticator token -ic", reason: "-i cannot"},
		{line: "aws-iam-authenticator token", reason: "names no cluster"},
		{line: "aws-iam-authenticator server -i c", reason: "another command"},
		{line: "aws-iam-authenticator token -i c -r ROLE -s x --forward-session-name", reason: "exclude"},
		{line: "aws-iam-authenticator token -i c --forward-session-name=1", reason: "not understood"},
		{line: "aws-iam-authenticator token -i c", env: "AWS_SECRET_ACCESS_KEY=s", reason: "AWS_SECRET_ACCESS_KEY may"},
	})
}

func TestConvertToAWS(t *testing.T) {
	session := " --session-name EKSGetTokenAuth"
	runConversions(t, toAWSTest(), []conversionRow{
		{line: "ekskey token --cluster c --region r --profile p --cache-all=true" + tail, want: "aws --region r --profile p eks get-token --cluster-name c --output json"},
		{line: ourPath + " token --cluster c --aws-cli-order=true --role-arn ROLE" + session, want: "aws eks get-token --cluster-name c --output json --role-arn ROLE"},
		{line: "ekskey token -i c -r ROLE", want: "aws-iam-authenticator token --cluster-id c --role ROLE --session-name ekskey"},
		{line: "ekskey token --cluster c", reason: "in another order"},
		{line: "ekskey token -i c --aws-cli-order", reason: "in another order"},
		{line: "ekskey token -i c -r ROLE -e x -s y --forward-session-name=false", want: "aws-iam-authenticator token --cluster-id c --role ROLE --external-id x --session-name y"},

		{line: "ekskey token --cluster c --role-arn ROLE", reason: "calls a role's session"},
		{line: "ekskey token --cluster c --role-arn ROLE --session-name x", reason: "calls a role's session"},
		{line: "ekskey token --cluster c --role-arn ROLE --role-arn ROLE", reason: "several roles"},
		{line: "ekskey token --cluster c --role-arn ROLE --external-id x", reason: "no --external-id"},
		{line: "ekskey token --cluster c --role-arn ROLE --mfa-serial x", reason: "no --mfa-serial"},
		{line: "ekskey token --cluster c --mfa-command x", reason: "no --mfa-command"},
		{line: "ekskey token --cluster c --forward-session-name", reason: "no --forward-session-name"},
		{line: "ekskey token -i c --profile p", reason: "no --profile"},
		{line: "ekskey token --cluster c --token-only", reason: "--token-only cannot"},
		{line: "ekskey token --cluster c --output token", reason: "not json"},
		{line: "ekskey token --cluster c -i d", reason: "two clusters"},
		{line: "ekskey token" + tail, reason: "names no cluster"},
		{line: "ekskey whoami --cluster c", reason: "another command"},
		{line: "ekskey token --cluster c", env: "AWS_DEFAULT_PROFILE=p", reason: "AWS_DEFAULT_PROFILE may"},
		{line: "kubelogin get-token", reason: "another program"},
	})
}

// A hand-swapped entry has the AWS CLI's words and its name for sessions.
func TestConvertSwapped(t *testing.T) {
	in := execText("ekskey", strings.Fields("eks get-token --cluster-name c --role-arn "+testRole))
	if out, users := convertText(t, toOursTest(), in); out != in || users[0].State != NotConverted {
		t.Errorf("%+v %s", users, out)
	}
	out, users := convertText(t, toAWSTest(), in)
	if e := mustParse(t, out).Users()[0].Exec; users[0].State != Converted || strings.Join(e.Args, " ") != "eks get-token --cluster-name c --output json --role-arn "+testRole {
		t.Errorf("%+v %v", users, e)
	}
}
