"""Every option of ``vllm serve`` 0.32.0, from its ``--help=all``. Switches also have a ``--no-`` form; values
are JSON, numbers or words, one or more, up to the next option."""

from functools import cache

VERSION = "0.32"
OPTIONS = """
--aggregate-engine-logging --api-server-count -asc --config --disable-log-stats --enable-log-requests
--fail-on-environ-validation --gdn-prefill-backend --grpc --headless --kda-decode-backend
--kda-prefill-backend --shutdown-timeout -h --help --allow-credentials --allowed-headers
--allowed-methods --allowed-origins --anthropic-disabled-thinking-effort --api-key --chat-template
--chat-template-content-format --cohere-format --cohere-is-reasoning-model
--data-parallel-supervisor-port --default-chat-template-kwargs --disable-access-log-for-endpoints
--disable-fastapi-docs --disable-uvicorn-access-log --dp-supervisor-probe-failure-threshold
--dp-supervisor-probe-interval-s --dp-supervisor-probe-timeout-s --enable-auto-tool-choice
--enable-flash-late-interaction --enable-force-include-usage --enable-log-deltas --enable-log-outputs
--enable-offline-docs --enable-per-request-metrics --enable-prompt-tokens-details
--enable-request-id-headers --enable-scale-out --enable-server-load-tracking --enable-ssl-refresh
--enable-tokenizer-info-endpoint --exclude-tools-when-tool-choice-none --fingerprint-mode
--fingerprint-value --grpc-port --h11-max-header-count --h11-max-incomplete-event-size --host
--log-error-stack --lora-modules --max-log-len --middleware --port --response-role
--return-tokens-as-token-ids --root-path --sse-keep-alive-interval --ssl-ca-certs --ssl-cert-reqs
--ssl-certfile --ssl-ciphers --ssl-keyfile --tokens-only --tool-call-parser --tool-parser-plugin
--tool-server --tool-strict-level --trust-request-chat-template --trust-request-mm-kwargs --uds
--uvicorn-log-level --allow-deprecated-quantization --allowed-local-media-path --allowed-media-domains
--code-revision --config-format --convert --disable-cascade-attn --disable-sliding-window --dtype
--enable-cumem-allocator --enable-nccl-comm-suspend --enable-prompt-embeds --enable-return-routed-experts
--enable-sleep-mode --enable-trace-replay --enforce-eager --generation-config --hf-config-path
--hf-overrides --hf-token --io-processor-plugin --logits-processors --logprobs-mode --max-logprobs
--max-model-len --model --model-class-overrides --model-impl --override-generation-config --pooler-config
--quantization -q --quantization-config --renderer-num-workers --return-sampling-mask --revision --runner
--seed --served-model-name --skip-tokenizer-init --sleep-mode-offload-cudagraph
--sleep-preserve-parameter-names --tokenizer --tokenizer-mode --tokenizer-revision --trust-remote-code
--use-fp64-gumbel --download-dir --ignore-patterns --load-format --model-loader-extra-config
--pt-load-map-location --safetensors-load-strategy --safetensors-prefetch-block-size
--safetensors-prefetch-num-threads --use-tqdm-on-load --attention-backend
--enable-mamba-cache-stochastic-rounding --mamba-backend --mamba-cache-philox-rounds
--mamba-ssu-algorithm --reasoning-parser --reasoning-parser-plugin --all2all-backend
--cp-kv-cache-interleave-size --cpu-distributed-timeout-seconds --data-parallel-address -dpa
--data-parallel-backend -dpb --data-parallel-external-lb -dpe --data-parallel-hybrid-lb -dph
--data-parallel-multi-port-external-lb -dpm --data-parallel-rank -dpn --data-parallel-rpc-port -dpp
--data-parallel-size -dp --data-parallel-size-local -dpl --data-parallel-start-rank -dpr
--dbo-decode-token-threshold --dbo-prefill-token-threshold --dcp-comm-backend
--dcp-kv-cache-interleave-size --dcp-q-replicate --decode-context-parallel-size -dcp --device-ids
--disable-custom-all-reduce --disable-nccl-for-dp-synchronization --distributed-executor-backend
--distributed-timeout-seconds --dp-sync-interval --elastic-ep-max-dp-size --enable-batch-sharded-sampling
--enable-dbo --enable-elastic-ep --enable-ep-weight-filter --enable-eplb --enable-expert-parallel -ep
--enable-fault-tolerance --enable-hc-sp --enable-shm-tensor-arena --eplb-config
--expert-placement-strategy --fault-tolerance-config --master-addr --master-port
--max-parallel-loading-workers --nnodes -n --node-rank -r --numa-bind --numa-bind-cpus --numa-bind-nodes
--pipeline-parallel-size -pp --prefill-context-parallel-size -pcp --ray-workers-use-nsight
--tensor-parallel-size -tp --ubatch-size --worker-cls --worker-extension-cls --block-size
--enable-mamba-shared-prefix-checkpoint --enable-prefix-caching --gpu-memory-utilization
--device-memory-utilization --kv-cache-dtype --kv-cache-dtype-skip-layers --kv-cache-memory-bytes
--kv-offloading-backend --kv-offloading-size --kv-sharing-fast-prefill --mamba-block-size
--mamba-cache-dtype --mamba-cache-mode --mamba-ssm-cache-dtype --num-gpu-blocks-override
--prefix-cache-retention-interval --prefix-caching-hash-algo --prefix-match-unit --replayssm-buffer-len
--swa-bounded-replay --use-replayssm --cpu-offload-gb --cpu-offload-params --offload-backend
--offload-group-size --offload-num-in-group --offload-params --offload-prefetch-step --enable-mm-embeds
--interleave-mm-strings --language-model-only --limit-mm-per-prompt --media-io-kwargs
--mm-device-do-normalize --mm-encoder-attn-backend --mm-encoder-attn-dtype --mm-encoder-fp8-scale-path
--mm-encoder-fp8-scale-save-margin --mm-encoder-fp8-scale-save-path --mm-encoder-only
--mm-encoder-tp-mode --mm-hasher-algorithm --mm-ipc-gpu-memory-gb --mm-processor-cache-gb
--mm-processor-cache-type --mm-processor-device --mm-processor-kwargs --mm-shm-cache-max-object-size-mb
--mm-tensor-ipc --skip-mm-profiling --video-pruning-method --video-pruning-rate --default-mm-loras
--enable-lora --enable-mixed-moe-lora-format --enable-moe-shared-loras --enable-tower-connector-lora
--fully-sharded-loras --lora-dtype --lora-target-modules --max-cpu-loras --max-lora-cls-labels
--max-lora-rank --max-loras --specialize-active-lora --log-config-file --log-level --logging-config
--collect-detailed-traces --cudagraph-metrics --custom-histogram-buckets --enable-layerwise-nvtx-tracing
--enable-logging-iteration-details --enable-mfu-metrics --jit-monitor-mode --jit-monitor-verbose
--kv-cache-metrics --kv-cache-metrics-sample --otlp-traces-endpoint --per-request-spec-decode-metrics
--show-hidden-metrics-for-version --async-scheduling --disable-chunked-mm-input
--disable-hybrid-kv-cache-manager --enable-chunked-prefill --long-prefill-token-threshold
--long-prefill-token-threshold-adaptive --max-num-active-seqs --max-num-batched-tokens
--max-num-queued-reqs --max-num-queued-tokens --max-num-scheduled-tokens --max-num-seqs
--prefill-schedule-interval --scheduler-cls --scheduler-reserve-full-isl --scheduling-policy
--stream-interval --watermark --cudagraph-capture-sizes --max-cudagraph-capture-size
--enable-flashinfer-autotune --ir-op-priority --linear-backend --moe-backend
--sparse-indexer-topk-backend --additional-config --attention-config -ac --aux-output-config
--compilation-config -cc --diffusion-config -dc --ec-manager-config --ec-transfer-config --engram-config
--kernel-config --kv-events-config --kv-transfer-config --optimization-level --performance-mode
--profiler-config --reasoning-config --spec-method --spec-model --spec-tokens --speculative-config -sc
--structured-outputs-config --watermark-config --weight-transfer-config
"""
# The values of --tool-call-parser are from its help; those of --reasoning-parser are not listed there, but
# registered in vllm/reasoning/__init__.py.
TOOL_CALL_PARSERS = """
apertus cohere_command3 cohere_command4 deepseek_v3 deepseek_v31 deepseek_v32 deepseek_v4 deepseek_v41
dots ernie45 functiongemma gemma4 gigachat3 glm45 glm47 granite granite-20b-fc granite4 hermes hf
hunyuan_a13b hy_v3 hy_v4 inkling internlm jamba k2_horizon kimi_k2 kimi_k3 lfm2 ling3 llama3_json
llama4_json llama4_pythonic longcat mimo minicpm5 minimax_m2 minimax_m3 mistral muse_glimmer olmo3 openai
phi4_mini_json plamo3 poolside_v1 pythonic qwen3_coder qwen3_json qwen3_xml seed_oss step3 step3p5 xlam
"""
REASONING_PARSERS = """
deepseek_r1 deepseek_v3 deepseek_v4 deepseek_v41 poolside_v1 cohere_command3 cohere_command4 ernie45
gemma4 glm45 glm47 ling3 openai_gptoss granite granite_thinking_parser hf holo2 hunyuan_a13b hy_v3 hy_v4
kimi_k2 kimi_k3 k2_horizon mimo minicpmv minimax_m2 minimax_m2_append_think minimax_m3 mistral
nemotron_v3 olmo3 plamo3 muse_glimmer qwen3 seed_oss step3 step3p5 inkling
"""


@cache
def option_names() -> frozenset[str]:
    return frozenset(OPTIONS.split())


def parser_names() -> dict[str, tuple[str, ...]]:
    """The values of the options for chats."""
    return {
        "--tool-call-parser": tuple(TOOL_CALL_PARSERS.split()),
        "--reasoning-parser": tuple(REASONING_PARSERS.split()),
    }
