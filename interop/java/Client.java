import io.kubernetes.client.informer.ResourceEventHandler;
import io.kubernetes.client.informer.SharedInformerFactory;
import io.kubernetes.client.openapi.ApiClient;
import io.kubernetes.client.openapi.ApiException;
import io.kubernetes.client.openapi.apis.CoreV1Api;
import io.kubernetes.client.openapi.models.V1Pod;
import io.kubernetes.client.openapi.models.V1PodList;
import io.kubernetes.client.util.CallGeneratorParams;
import io.kubernetes.client.util.ClientBuilder;
import io.kubernetes.client.util.KubeConfig;
import io.kubernetes.client.util.credentials.TokenFileAuthentication;
import java.io.File;
import java.io.FileReader;
import java.time.Duration;
import java.util.Map;

/**
 * Lists pods each second and watches them, until it is stopped. It prints "listed N", "saw TICK"
 * and "failed CODE WHY", which the runner judges.
 */
public class Client {
  /** How long a token is kept. The client does not look at when it ends, so it is told. */
  static final Duration KEEP = Duration.ofSeconds(Long.getLong("interop.keep", 5));

  public static void main(String[] args) throws Exception {
    String namespace = System.getenv("INTEROP_NAMESPACE");
    ApiClient client = connect();
    CoreV1Api api = new CoreV1Api(client);

    SharedInformerFactory factory = new SharedInformerFactory(client);
    factory
        .sharedIndexInformerFor(
            (CallGeneratorParams p) ->
                api.listNamespacedPod(namespace)
                    .resourceVersion(p.resourceVersion)
                    .timeoutSeconds(p.timeoutSeconds)
                    .watch(p.watch)
                    .buildCall(null),
            V1Pod.class,
            V1PodList.class)
        .addEventHandler(new Printer());
    factory.startAllRegisteredInformers();

    while (true) {
      try {
        say("listed " + api.listNamespacedPod(namespace).execute().getItems().size());
      } catch (ApiException e) {
        say("failed " + e.getCode() + " " + e.getMessage());
      }
      Thread.sleep(1000);
    }
  }

  static ApiClient connect() throws Exception {
    File file = new File(System.getenv("KUBECONFIG"));
    KubeConfig config;
    try (FileReader reader = new FileReader(file)) {
      config = KubeConfig.loadKubeConfig(reader);
    }
    config.setFile(file);
    ClientBuilder builder = ClientBuilder.kubeconfig(config, KEEP); // runs the plugin again after KEEP
    String tokenFile = System.getenv("INTEROP_TOKEN_FILE");
    if (tokenFile != null) {
      builder.setAuthentication(new TokenFileAuthentication(tokenFile, KEEP)); // reads it again
    }
    return builder.build();
  }

  static void say(String line) {
    System.out.println(line.replaceAll("\\s+", " "));
  }

  static class Printer implements ResourceEventHandler<V1Pod> {
    @Override
    public void onAdd(V1Pod pod) {
      Map<String, String> notes = pod.getMetadata().getAnnotations();
      say("saw " + (notes == null ? "0" : notes.getOrDefault("interop/tick", "0")));
    }

    @Override
    public void onUpdate(V1Pod before, V1Pod pod) {
      onAdd(pod);
    }

    @Override
    public void onDelete(V1Pod pod, boolean unknown) {}
  }
}
