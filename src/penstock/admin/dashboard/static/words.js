// What the page says, in English and Chinese. What the balancer says (reasons, events) stays as it is.
const EN = {
  skip: "Skip to the table", look_only: "read only", keys: "Keys", ready: "ready", not_ready: "not ready",
  connecting: "Connecting …", lost: "No connection to the balancer. Trying again …",
  full: "Too many pages are open at this balancer. Trying again …",
  up_for: "up {0}", theme_auto: "Theme: auto", theme_light: "Theme: light", theme_dark: "Theme: dark",
  requests_s: "Requests/s", in_flight: "In flight", errors: "Errors", latency: "Latency", p50: "p50", p99: "p99",
  clients: "Clients", tokens_s: "Output tokens/s", ttft: "First token", endpoints: "Endpoints", pools: "Pools",
  decisions: "Decisions", events: "Events", workers: "Workers", waiting: "waiting", available: "available",
  of: "{0} of {1}", total: "{0} in all", hour: "last hour", hit: "Cache hits",
  state: "State", endpoint: "Endpoint", queue: "Queue", rate: "Rate", error_rate: "Errors/s", mean: "Mean",
  prompt_s: "Prefill/s", ttft_mean: "TTFT", kv: "KV", hits: "Hits / predicted", weight: "Weight", pool: "Pool",
  search: "Search endpoints", search_events: "Search events", all_pools: "All pools", all_zones: "All zones",
  all_models: "All models", all_states: "All states", shown: "{0} shown", none_match: "No endpoint matches.",
  drain: "Drain", undrain: "Undrain", set_weight: "Weight …", close: "Close", cancel: "Cancel", undo: "Undo",
  drain_title: "Drain {0}?", undrain_title: "Send requests to {0} again?", weight_title: "Weight of {0}",
  drain_1: "It gets no new requests. {0} in flight there will finish.",
  drain_2: "Its {0} requests/s go to {1} other endpoints of {2}: about {3} requests/s each instead of {4}.",
  drain_last: "It is the last endpoint of {0} that may be picked: clients will get 503.",
  drain_3: "Clients that a cookie binds to it stay, unless the pool's `drain` says otherwise.",
  drain_not: "It is not picked at present: {0}.",
  undrain_1: "It gets its share of the {0} requests/s of {1} again, at once or by slow start.",
  undrain_2: "Its state will be: {0}", weight_now: "New weight (configured: {0})",
  weight_share: "Its share of {0} goes from {1} to {2}, as far as the policy goes by weights. It holds until the configured weight changes.",
  weight_zero: "With weight 0 it gets no new requests.", apply: "Apply",
  drained: "{0} drains.", undrained: "{0} gets requests again.", weighted: "{0} has weight {1}.",
  undone: "Undone: {0}", refused: "Not done: {0}",
  token_title: "Admin token", token_text: "This balancer shows nothing without its token. It is kept in this tab and sent in a header.",
  token_wrong: "That is not the token.", token: "Token", enter: "Show",
  why: "Why", since: "since {0} ({1})", address: "Address", zone: "Zone", source: "From", models: "Models", engine: "Engine",
  last_check: "Last check", requests: "Requests", failures: "Failed", circuits: "Open circuits", ejections: "Ejections",
  running: "Running", loaded: "Loaded", hit_found: "Hits found", hit_predicted: "Hits predicted", distrust: "Predicted hits ignored",
  backup: "backup", effective: "effective {0}", minutes: "last 2 minutes", policy: "Policy", kind: "Kind",
  admission: "Admission", limit: "Limit", retries: "Retries/s", no_endpoint: "No endpoint/s", client_gone: "Client left/s",
  scaling: "Scaling", forecast: "Forecast", expected: "in {0}: {1}", refused_n: "turned away", maintenance: "in maintenance",
  scale_of: "{0} wanted, {1} there", starting_n: "{0} starting", draining_n: "{0} draining", discovery: "Found by",
  queue_p99: "Queue p99", first_mean: "First byte, mean", first_byte: "First byte p50", token_time: "Per token", cached: "Prompts cached", in_use: "In use",
  requests_q: "requests/s", prompt_tokens_q: "prompt tokens/s", output_tokens_q: "output tokens/s",
  refresh: "Refresh", no_decisions: "No decisions are recorded. A pool records a share of them with `decisions: {sample: 0.01}`.",
  time: "Time", request: "Request", picked: "Picked", by: "By", candidates: "Candidates", cached_pair: "Cached, predicted",
  first_pair: "First byte, predicted", end: "End", still: "running", candidate: "Candidate", terms: "Candidates and their terms",
  outcome: "What came of it", predicted: "Predicted", came_true: "Came true", left_out: "and {0} more, ranked lower",
  worker: "Worker", pid: "Process", generation: "Generation", connections: "Connections", idle: "Idle to endpoints",
  restarts: "Restarts", for: "For", sessions: "UDP sessions", listening: "Listening", reloads: "Reloads",
  no_events: "Nothing has happened yet.", all_levels: "All levels", warning: "Warnings", error: "Errors", info: "Information",
  k_search: "search", k_tabs: "tabs", k_move: "move through the table", k_open: "details of the endpoint", k_drain: "drain",
  k_undrain: "undrain", k_weight: "weight", k_undo: "undo", k_close: "close", k_help: "these keys",
};
const ZH = {
  skip: "跳到表格", look_only: "只读", keys: "快捷键", ready: "就绪", not_ready: "未就绪",
  connecting: "正在连接…", lost: "与负载均衡器的连接已断开，正在重试…", full: "打开的页面过多，正在重试…",
  up_for: "已运行 {0}", theme_auto: "主题：自动", theme_light: "主题：浅色", theme_dark: "主题：深色",
  requests_s: "请求/秒", in_flight: "进行中", errors: "错误", latency: "延迟", p50: "p50", p99: "p99",
  clients: "客户端", tokens_s: "输出 token/秒", ttft: "首个 token", endpoints: "端点", pools: "端点池",
  decisions: "决策", events: "事件", workers: "工作进程", waiting: "排队", available: "可用",
  of: "{0} / {1}", total: "共 {0}", hour: "最近一小时", hit: "缓存命中",
  state: "状态", endpoint: "端点", queue: "队列", rate: "速率", error_rate: "错误/秒", mean: "平均",
  prompt_s: "预填充/秒", ttft_mean: "TTFT", kv: "KV", hits: "命中 / 预测", weight: "权重", pool: "端点池",
  search: "搜索端点", search_events: "搜索事件", all_pools: "所有端点池", all_zones: "所有区域",
  all_models: "所有模型", all_states: "所有状态", shown: "显示 {0} 个", none_match: "没有匹配的端点。",
  drain: "排空", undrain: "恢复", set_weight: "权重…", close: "关闭", cancel: "取消", undo: "撤销",
  drain_title: "排空 {0}？", undrain_title: "重新向 {0} 发送请求？", weight_title: "{0} 的权重",
  drain_1: "不再接收新请求；其上 {0} 个进行中的请求会完成。",
  drain_2: "它的 {0} 请求/秒 将由 {2} 的另外 {1} 个端点承担：每个从约 {4} 增至约 {3} 请求/秒。",
  drain_last: "这是 {0} 中最后一个可选的端点：客户端将收到 503。",
  drain_3: "由 cookie 绑定到它的客户端会留下，除非端点池的 `drain` 另有规定。",
  drain_not: "它目前不会被选中：{0}。",
  undrain_1: "它将重新分担 {1} 的 {0} 请求/秒，立即生效或按慢启动进行。",
  undrain_2: "它的状态将是：{0}", weight_now: "新权重（配置值：{0}）",
  weight_share: "若策略按权重分配，它在 {0} 中的份额从 {1} 变为 {2}。在配置的权重改变之前有效。",
  weight_zero: "权重为 0 时不再接收新请求。", apply: "应用",
  drained: "{0} 正在排空。", undrained: "{0} 重新接收请求。", weighted: "{0} 的权重为 {1}。",
  undone: "已撤销：{0}", refused: "未执行：{0}",
  token_title: "管理令牌", token_text: "没有令牌，此负载均衡器不显示任何内容。令牌只保存在此标签页，并通过请求头发送。",
  token_wrong: "令牌不正确。", token: "令牌", enter: "显示",
  why: "原因", since: "自 {0}（{1}）", address: "地址", zone: "区域", source: "来源", models: "模型", engine: "引擎",
  last_check: "最近检查", requests: "请求数", failures: "失败", circuits: "断开的熔断器", ejections: "剔除次数",
  running: "运行中", loaded: "已加载", hit_found: "实际命中", hit_predicted: "预测命中", distrust: "被忽略的预测命中",
  backup: "备用", effective: "有效值 {0}", minutes: "最近 2 分钟", policy: "策略", kind: "类型",
  admission: "准入", limit: "上限", retries: "重试/秒", no_endpoint: "无端点/秒", client_gone: "客户端离开/秒",
  scaling: "伸缩", forecast: "预测", expected: "{0}后：{1}", refused_n: "被拒绝", maintenance: "维护中",
  scale_of: "需要 {0} 个，现有 {1} 个", starting_n: "{0} 个启动中", draining_n: "{0} 个排空中", discovery: "发现方式",
  queue_p99: "排队 p99", first_mean: "首字节 平均", first_byte: "首字节 p50", token_time: "每个 token", cached: "提示词缓存", in_use: "使用中",
  requests_q: "请求/秒", prompt_tokens_q: "提示 token/秒", output_tokens_q: "输出 token/秒",
  refresh: "刷新", no_decisions: "没有记录的决策。端点池可用 `decisions: {sample: 0.01}` 记录一部分。",
  time: "时间", request: "请求", picked: "选中", by: "依据", candidates: "候选", cached_pair: "缓存 实际, 预测",
  first_pair: "首字节 实际, 预测", end: "结束", still: "进行中", candidate: "候选端点", terms: "候选端点及其各项",
  outcome: "结果", predicted: "预测", came_true: "实际", left_out: "另有 {0} 个，排名更低",
  worker: "工作进程", pid: "进程", generation: "代", connections: "连接", idle: "到端点的空闲连接",
  restarts: "重启", for: "持续", sessions: "UDP 会话", listening: "监听", reloads: "重载",
  no_events: "还没有事件。", all_levels: "所有级别", warning: "警告", error: "错误", info: "信息",
  k_search: "搜索", k_tabs: "标签页", k_move: "在表格中移动", k_open: "端点详情", k_drain: "排空",
  k_undrain: "恢复", k_weight: "权重", k_undo: "撤销", k_close: "关闭", k_help: "快捷键",
};
const STATES_ZH = {
  up: "正常", starting: "启动中", draining: "排空中", maintenance: "维护", down: "故障", ejected: "被剔除",
  weightless: "零权重", ready: "就绪", stopped: "已停止",
};
let chosen = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh-CN" : "en");

export const language = () => chosen;

export function choose(next) {
  chosen = next;
  localStorage.setItem("language", next);
}

export function t(word, ...values) {
  const text = (chosen === "zh-CN" ? ZH : EN)[word] ?? EN[word] ?? word;
  return text.replace(/\{(\d)\}/g, (_, index) => values[Number(index)] ?? "");
}

export const stateWord = (state) => (chosen === "zh-CN" ? STATES_ZH[state] ?? state : state);

export const missing = () => Object.keys(EN).filter((word) => !(word in ZH));
