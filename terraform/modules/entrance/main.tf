# How people see luigid: an internal load balancer with TLS, after signing in at the company's OpenID Connect provider.

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_28:No firewall for web requests: it is reached from inside of the VPC only, by people who signed in.
  #checkov:skip=CKV_AWS_91:Who signed in is in the provider's log; the requests are for pages of one scheduler.
  #checkov:skip=CKV_AWS_150:It holds nothing, and `terraform destroy` must be able to end it.
  #checkov:skip=CKV2_AWS_20:Only port 443 listens. There is no HTTP to redirect.
  name                       = "${var.name}-luigid"
  internal                   = true
  load_balancer_type         = "application"
  subnets                    = var.private_subnets
  security_groups            = [var.security_group]
  drop_invalid_header_fields = true
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:luigid speaks HTTP, and only this load balancer and the workers may reach it.
  name                 = "${var.name}-luigid"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = 8082
  deregistration_delay = 10

  health_check {
    path    = "/metrics"
    matcher = "200"
  }
}

# By CloudFormation, which reads the client's secret itself: as an argument of aws_lb_listener it would stand in the state.
resource "aws_cloudformation_stack" "listener" {
  #checkov:skip=CKV_AWS_124:`terraform apply` waits for it and tells of its failure.
  name = "${var.name}-luigid-listener"

  template_body = jsonencode({
    Resources = {
      Listener = {
        Type = "AWS::ElasticLoadBalancingV2::Listener"
        Properties = {
          LoadBalancerArn = aws_lb.this.arn
          Port            = 443
          Protocol        = "HTTPS"
          SslPolicy       = "ELBSecurityPolicy-TLS13-1-2-2021-06"
          Certificates    = [{ CertificateArn = var.sign_in.certificate_arn }]
          DefaultActions = [
            {
              Type  = "authenticate-oidc"
              Order = 1
              AuthenticateOidcConfig = {
                Issuer                   = var.sign_in.issuer
                AuthorizationEndpoint    = var.sign_in.authorization_endpoint
                TokenEndpoint            = var.sign_in.token_endpoint
                UserInfoEndpoint         = var.sign_in.user_info_endpoint
                ClientId                 = var.sign_in.client_id
                ClientSecret             = "{{resolve:secretsmanager:${var.sign_in.client_secret_name}:SecretString}}"
                OnUnauthenticatedRequest = "authenticate"
              }
            },
            { Type = "forward", Order = 2, TargetGroupArn = aws_lb_target_group.this.arn },
          ]
        }
      }
    }
  })
}
