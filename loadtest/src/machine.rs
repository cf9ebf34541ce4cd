//! What was measured on, without a word that tells whose machine it is.

use serde::Serialize;

/// Processor, memory and kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Model of the processor as it names itself.
    pub cpu: String,
    /// Cores that can be used.
    pub cores: usize,
    /// Memory, GiB, rounded.
    pub memory_gib: u64,
    /// Release of the kernel.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let read = |file| std::fs::read_to_string(file).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Machine {
            cpu: cpu(&read("/proc/cpuinfo")),
            cores,
            memory_gib: memory_gib(&read("/proc/meminfo")),
            kernel,
        }
    }
}

fn cpu(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown processor", |(_, name)| name.trim()).to_owned()
}

fn memory_gib(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| (kib + (1 << 19)) >> 20)
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine { cpu, cores, memory_gib, kernel } = self;
        write!(f, "{cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read() {
        assert_eq!(
            cpu("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n"),
            "Some CPU @ 2 GHz"
        );
        assert_eq!(cpu(""), "unknown processor");
        assert_eq!(memory_gib("MemTotal:       24680000 kB\nMemFree: 1 kB\n"), 24);
        let machine = Machine::this();
        assert!(machine.cores >= 1 && machine.memory_gib >= 1 && !machine.kernel.is_empty(), "{machine}");
    }
}
