import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import org.apache.beam.model.pipeline.v1.RunnerApi;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.runners.flink.FlinkStreamingPortablePipelineTranslator;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;
import org.apache.beam.sdk.metrics.MetricsEnvironment;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.util.construction.PTransformTranslation;
import org.apache.beam.sdk.util.construction.PipelineOptionsTranslation;
import org.apache.beam.sdk.util.construction.graph.GreedyPipelineFuser;
import org.apache.beam.sdk.util.construction.graph.ProtoOverrides;
import org.apache.beam.sdk.util.construction.graph.SplittableParDoExpander;
import org.apache.beam.sdk.util.construction.graph.TrivialNativeTransformExpander;

/** Submits the proto of a streaming pipeline to a JobManager, and ends: FlinkSubmit FILE OPTIONS. */
public class FlinkSubmit {
  public static void main(String[] words) throws Exception {
    String[] flags = Arrays.copyOfRange(words, 1, words.length);
    PipelineOptionsFactory.register(FlinkPipelineOptions.class);
    FlinkPipelineOptions options = PipelineOptionsFactory.fromArgs(flags).as(FlinkPipelineOptions.class);
    options.setRunner(null);
    MetricsEnvironment.setMetricsSupported(false);
    RunnerApi.Pipeline pipeline = RunnerApi.Pipeline.parseFrom(Files.readAllBytes(Paths.get(words[0])));
    FlinkStreamingPortablePipelineTranslator translator = new FlinkStreamingPortablePipelineTranslator();
    RunnerApi.Pipeline expanded =
        ProtoOverrides.updateTransform(
            PTransformTranslation.PAR_DO_TRANSFORM_URN, pipeline, SplittableParDoExpander.createSizedReplacement());
    RunnerApi.Pipeline native_ = TrivialNativeTransformExpander.forKnownUrns(expanded, translator.knownUrns());
    RunnerApi.Pipeline fused = GreedyPipelineFuser.fuse(native_).toPipeline();
    JobInfo info =
        JobInfo.create(options.getJobName(), options.getJobName(), "", PipelineOptionsTranslation.toProto(options));
    translator
        .translate(translator.createTranslationContext(info, options, null, List.of()), fused)
        .execute(options.getJobName());
  }
}
