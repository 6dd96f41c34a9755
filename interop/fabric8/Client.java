import io.fabric8.kubernetes.api.model.Pod;
import io.fabric8.kubernetes.client.Config;
import io.fabric8.kubernetes.client.ConfigBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.KubernetesClientException;
import io.fabric8.kubernetes.client.informers.ResourceEventHandler;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * Lists pods each second and watches them, until it is stopped. It prints "listed N", "saw TICK"
 * and "failed CODE WHY", which the runner judges.
 */
public class Client {
  public static void main(String[] args) throws Exception {
    String namespace = System.getenv("INTEROP_NAMESPACE");
    try (KubernetesClient client = new KubernetesClientBuilder().withConfig(configure()).build()) {
      client.pods().inNamespace(namespace).inform(new Printer());
      while (true) {
        try {
          say("listed " + client.pods().inNamespace(namespace).list().getItems().size());
        } catch (KubernetesClientException e) {
          say("failed " + e.getCode() + " " + e.getMessage());
        }
        Thread.sleep(1000);
      }
    }
  }

  static Config configure() {
    Config config = Config.autoConfigure(null); // KUBECONFIG
    String tokenFile = System.getenv("INTEROP_TOKEN_FILE");
    if (tokenFile == null) {
      return config; // after a 401 it runs the plugin again and repeats the request
    }
    // The client does not know a kubeconfig's tokenFile. It asks this with each request.
    return new ConfigBuilder(config).withOauthTokenProvider(() -> read(Path.of(tokenFile))).build();
  }

  static String read(Path file) {
    try {
      return Files.readString(file).strip();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static void say(String line) {
    System.out.println(line.replaceAll("\\s+", " "));
  }

  static class Printer implements ResourceEventHandler<Pod> {
    @Override
    public void onAdd(Pod pod) {
      Map<String, String> notes = pod.getMetadata().getAnnotations();
      say("saw " + (notes == null ? "0" : notes.getOrDefault("interop/tick", "0")));
    }

    @Override
    public void onUpdate(Pod before, Pod pod) {
      onAdd(pod);
    }

    @Override
    public void onDelete(Pod pod, boolean unknown) {}
  }
}
