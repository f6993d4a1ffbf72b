//! Many nodes and pods; run in a release build with `--ignored --nocapture`, which tells the figures.

#[path = "support/cluster.rs"]
mod cluster;

use cluster::{cni, create, join, pass, start, troubles, web};
use kubesim::resource::builtin::PODS;

#[tokio::test(start_paused = true)]
#[ignore = "takes its time in a debug build"]
async fn a_thousand_nodes_and_twenty_thousand_pods_settle() {
    let begin = std::time::Instant::now();
    let (_simulation, cluster) = start(0);
    create(&cluster, cni("docker.io/kindest/kindnetd:v20251212"));
    for number in 1..1000 {
        join(&cluster, &format!("worker-{number}"));
    }
    pass(120).await;
    println!("1000 nodes ready after {:?}", begin.elapsed());
    assert_eq!(troubles(&cluster), Vec::<String>::new());
    for number in 0..18 {
        let mut web = web(1000, "example.org/web:v1");
        web["metadata"]["name"] = serde_json::json!(format!("web-{number}"));
        web["spec"]["selector"]["matchLabels"]["app"] = serde_json::json!(format!("web-{number}"));
        web["spec"]["template"]["metadata"]["labels"]["app"] =
            serde_json::json!(format!("web-{number}"));
        create(&cluster, web);
    }
    pass(120).await;
    println!(
        "{} pods ready after {:?}",
        cluster.store().count(&PODS),
        begin.elapsed()
    );
    assert_eq!(troubles(&cluster), Vec::<String>::new());
    let settled = begin.elapsed();
    pass(300).await;
    println!("300 idle seconds took {:?}", begin.elapsed() - settled);
    println!("revision {}", cluster.store().revision());
}

#[tokio::test(start_paused = true)]
#[ignore = "tells a figure of a release build"]
async fn a_small_cluster_costs_little() {
    let begin = std::time::Instant::now();
    let (_simulation, cluster) = start(1);
    create(&cluster, cni("docker.io/kindest/kindnetd:v20251212"));
    pass(300).await;
    println!(
        "300 s of two nodes took {:?}, revision {}",
        begin.elapsed(),
        cluster.store().revision()
    );
    assert_eq!(troubles(&cluster), Vec::<String>::new());
}
